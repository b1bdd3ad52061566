"""What an answer used and what that costs, in whole numbers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from chat_svc.catalogue import Model
from chat_svc.providers import Prompt, Usage

_BYTES_PER_TOKEN = 4
# No answer has as many; a provider that says so is not to break the end of one.
_MOST_TOKENS = 10**9
_MILLION = 1_000_000

NOTHING = Usage(input_tokens=0, output_tokens=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What an answer used; `cost_micros` in millionths of a US dollar, `estimated` when tokens are our guess."""

    usage: Usage
    cost_micros: int
    estimated: bool

    @property
    def tokens(self) -> int:
        """Input and output together: what plans are measured in."""
        return self.usage.input_tokens + self.usage.output_tokens


def bill(usage: Usage | None, *, prompt: Prompt | None, text: str, model: Model | None, whole: bool = True) -> Bill:
    """What to charge: what the provider counted or else our estimate, and nothing when it never said a word.

    Of an answer that is not `whole` the provider may have counted the input and not yet the output.
    """
    if not text and (usage is None or not whole):
        return Bill(usage=NOTHING, cost_micros=0, estimated=False)
    told = _estimate(prompt, text) if usage is None else usage
    if not whole:
        told = replace(told, output_tokens=max(told.output_tokens, estimated_tokens([text])))
    charged = _plausible(told, model)
    cost = cost_micros(charged, model) if model else 0
    return Bill(usage=charged, cost_micros=cost, estimated=charged != usage or not whole)


def cost_micros(usage: Usage, model: Model) -> int:
    """The cost by the price table, rounded half up to a millionth of a US dollar."""
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    cost = (
        plain * model.input_micros_per_million
        + usage.cached_input_tokens * model.cached_price
        + usage.cache_write_tokens * model.cache_write_price
        + usage.output_tokens * model.output_micros_per_million
    )
    return (cost + _MILLION // 2) // _MILLION


def estimated_tokens(texts: Iterable[str]) -> int:
    """About how many tokens the texts are: one for four bytes, which suits all scripts better than characters do."""
    return sum(-(-len(text.encode()) // _BYTES_PER_TOKEN) for text in texts)


def _estimate(prompt: Prompt | None, text: str) -> Usage:
    asked = _texts(prompt) if prompt else ()
    return Usage(input_tokens=estimated_tokens(asked), output_tokens=estimated_tokens([text]))


def _texts(prompt: Prompt) -> Iterator[str]:
    yield prompt.system
    for turn in prompt.turns:
        yield turn.text
        yield from (call.arguments for call in turn.calls)
        yield from (result.text for result in turn.results)


def _plausible(usage: Usage, model: Model | None) -> Usage:
    """The figures, but no less than nothing, no more than the model takes and writes, and no part more than the whole.

    A provider's mistake must neither make a charge less than nothing nor use a whole plan up.
    """
    whole_input = _within(usage.input_tokens, model.context_tokens if model else _MOST_TOKENS)
    whole_output = _within(usage.output_tokens, model.max_output_tokens if model else _MOST_TOKENS)
    cached = _within(usage.cached_input_tokens, whole_input)
    return Usage(
        input_tokens=whole_input,
        output_tokens=whole_output,
        cached_input_tokens=cached,
        cache_write_tokens=_within(usage.cache_write_tokens, whole_input - cached),
        reasoning_tokens=_within(usage.reasoning_tokens, whole_output),
    )


def _within(count: float, most: int) -> int:
    """Some providers count in fractions, or in no numbers at all."""
    return int(min(count, most)) if count > 0 else 0
