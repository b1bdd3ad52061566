"""Which model a completion is for, and whether a model can do what is asked."""

from collections.abc import Callable, Sequence

from chat_svc.catalogue import Catalogue, Model
from chat_svc.models import Author
from chat_svc.providers import Image, Prompt, Result, Tool
from svckit.errors import InvalidArgument, NotFound

_UNNAMED = frozenset({"MODEL_UNKNOWN", "MODEL_RETIRED", "MODEL_UNAVAILABLE"})


def chosen(catalogue: Catalogue, name: str, *, included: Callable[[Model], bool]) -> Model:
    """The model of that id or alias. Raises NotFound (MODEL_NOT_FOUND), as OpenAI's clients expect it.

    `included` says which models the caller's plan has; raises PermissionDenied (MODEL_NOT_IN_PLAN).
    """
    try:
        return catalogue.choose(provider="", model=name, included=included)
    except InvalidArgument as error:
        if error.reason not in _UNNAMED:
            raise
        raise NotFound(error.message, reason="MODEL_NOT_FOUND", metadata=error.metadata) from None


def refuse_what_it_lacks(model: Model, *, images: Sequence[Image], tools: Sequence[Tool | Result]) -> None:
    """Raises InvalidArgument (MODEL_LACKS_VISION, MODEL_LACKS_TOOLS) when the model cannot do what is asked."""
    if "vision" not in model.capabilities and images:
        raise InvalidArgument.of("model", "cannot see images", reason="MODEL_LACKS_VISION")
    if "tools" not in model.capabilities and tools:
        raise InvalidArgument.of("model", "cannot ask for tools", reason="MODEL_LACKS_TOOLS")


def refuse_empty(model: Model, asked: Prompt) -> None:
    """Raises InvalidArgument (MODEL_LACKS_VISION) when an old question has nothing that the model can be shown."""
    if not asked.turns or asked.turns[-1].author != Author.USER:
        raise InvalidArgument.of(
            "model", f"{model.id} cannot see what the message is made of", reason="MODEL_LACKS_VISION"
        )
