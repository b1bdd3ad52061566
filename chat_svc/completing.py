"""Which model a completion is for, and whether it can do what is asked."""

from collections.abc import Callable

from chat_svc.catalogue import Catalogue, Model
from chat_svc.providers import Prompt
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


def refuse_what_it_lacks(model: Model, prompt: Prompt) -> None:
    """Raises InvalidArgument (MODEL_LACKS_VISION, MODEL_LACKS_TOOLS) when the model cannot do what is asked."""
    if "vision" not in model.capabilities and any(turn.images for turn in prompt.turns):
        raise InvalidArgument.of("model", "cannot see images", reason="MODEL_LACKS_VISION")
    if "tools" not in model.capabilities and prompt.tools:
        raise InvalidArgument.of("model", "cannot ask for tools", reason="MODEL_LACKS_TOOLS")
