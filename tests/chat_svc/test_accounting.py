"""What answers cost, to the millionth of a dollar."""

from datetime import date
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_svc.accounting import NOTHING, bill, cost_micros
from chat_svc.catalogue import Model
from chat_svc.models import Author
from chat_svc.providers import Prompt, Turn, Usage

PARTS = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
MODEL = Model(
    id="m",
    provider="p",
    display_name="M",
    context_tokens=1000,
    max_output_tokens=100,
    input_micros_per_million=400_000,
    cached_input_micros_per_million=100_000,
    cache_write_micros_per_million=500_000,
    output_micros_per_million=1_600_000,
    price_date=date(2026, 11, 25),
    price_source="https://example.com/prices",
    capabilities=("text",),
    plans=("free",),
)
PROMPT = Prompt(model="m", system="12345678", turns=[Turn(Author.USER, "12345")], max_output_tokens=100)


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(input_tokens=0, output_tokens=0), 0),
        (Usage(input_tokens=1_000_000, output_tokens=1_000_000), 2_000_000),
        (Usage(input_tokens=1_000_000, output_tokens=0, cached_input_tokens=1_000_000), 100_000),
        (Usage(input_tokens=1_000_000, output_tokens=0, cache_write_tokens=1_000_000), 500_000),
        (Usage(input_tokens=30, output_tokens=0, cached_input_tokens=10, cache_write_tokens=10), 10),
        (Usage(input_tokens=1, output_tokens=0), 0),
        (Usage(input_tokens=2, output_tokens=0), 1),
        (Usage(input_tokens=0, output_tokens=10, reasoning_tokens=10), 16),
    ],
)
def test_cached_and_cache_written_tokens_have_their_own_price_and_halves_round_up(usage: Usage, micros: int) -> None:
    assert cost_micros(usage, MODEL) == micros


@given(st.data())
def test_a_cost_is_the_exact_one_rounded_half_up_to_a_whole_number(data: st.DataObject) -> None:
    counts = st.integers(0, 10**9)
    cached, written, plain, output = (data.draw(counts) for _ in range(4))
    prices = [data.draw(st.integers(0, 10**9)) for _ in range(4)]
    names = ("input", "cached_input", "cache_write", "output")
    priced = {f"{name}_micros_per_million": price for name, price in zip(names, prices, strict=True)}
    usage = Usage(
        input_tokens=plain + cached + written,
        output_tokens=output,
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )

    charged = cost_micros(usage, MODEL.model_copy(update=priced))

    pairs = zip((plain, cached, written, output), prices, strict=True)
    exact = sum((Fraction(count * price, 1_000_000) for count, price in pairs), Fraction(0))
    assert charged == floor(exact + Fraction(1, 2))


@given(st.builds(Usage, **dict.fromkeys(("input_tokens", "output_tokens", *PARTS), st.integers(-(2**70), 2**70))))
def test_figures_that_cannot_be_are_never_charged_below_nothing_nor_above_what_the_model_can(told: Usage) -> None:
    charged = bill(told, prompt=PROMPT, text="some", model=MODEL)

    usage = charged.usage
    assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens <= MODEL.context_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens <= MODEL.max_output_tokens
    assert charged.estimated == (usage != told)
    assert 0 <= charged.cost_micros < 2**63


def test_without_figures_of_the_provider_four_bytes_are_a_token() -> None:
    charged = bill(None, prompt=PROMPT, text="123456789", model=MODEL)

    assert charged.usage == Usage(input_tokens=4, output_tokens=3)
    assert charged.estimated


def test_figures_of_zero_are_figures() -> None:
    charged = bill(NOTHING, prompt=PROMPT, text="some", model=MODEL)

    assert (charged.usage, charged.estimated) == (NOTHING, False)


def test_of_an_answer_that_broke_off_the_input_is_as_counted_and_the_output_at_least_the_text() -> None:
    counted = Usage(input_tokens=1000, output_tokens=1, cached_input_tokens=500)

    charged = bill(counted, prompt=PROMPT, text="123456789", model=MODEL, whole=False)

    assert charged.usage == Usage(input_tokens=1000, output_tokens=3, cached_input_tokens=500)
    assert charged.estimated


def test_an_answer_that_broke_off_before_its_first_text_is_not_paid() -> None:
    counted = Usage(input_tokens=1000, output_tokens=1)

    charged = bill(counted, prompt=PROMPT, text="", model=MODEL, whole=False)

    assert (charged.usage, charged.cost_micros, charged.estimated) == (NOTHING, 0, False)


def test_a_model_that_never_said_a_word_is_not_paid() -> None:
    charged = bill(None, prompt=PROMPT, text="", model=MODEL)

    assert (charged.usage, charged.cost_micros, charged.estimated) == (NOTHING, 0, False)
