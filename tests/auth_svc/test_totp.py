"""The algorithm alone: RFC 6238's own examples, cut to six digits, and which steps count."""

import base64
from datetime import UTC, datetime

import pytest

from auth_svc import totp

SECRET = base64.b32encode(b"12345678901234567890").decode()


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_of_the_rfc(seconds: int, code: str) -> None:
    assert totp.matching_step(SECRET, code, now=at(seconds), after=0) == seconds // 30


@pytest.mark.parametrize(("steps", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(steps: int, counts: bool) -> None:
    found = totp.matching_step(SECRET, "005924", now=at(1234567890 + 30 * steps), after=0)

    assert (found is not None) is counts


def test_no_code_of_a_used_step_or_one_before_it_counts() -> None:
    step = 1234567890 // 30

    assert totp.matching_step(SECRET, "005924", now=at(1234567890), after=step - 1) == step
    assert totp.matching_step(SECRET, "005924", now=at(1234567890), after=step) is None
    assert totp.matching_step(SECRET, "005924", now=at(1234567890), after=step + 1) is None


@pytest.mark.parametrize("code", ["", "00592", "0059240", "005925", "٠٠٥٩٢٤", "nul\0", "-05924"])
def test_what_is_no_code_of_the_moment_does_not_count(code: str) -> None:
    assert totp.matching_step(SECRET, code, now=at(1234567890), after=0) is None


def test_a_space_between_the_digits_does_not_count() -> None:
    assert totp.matching_step(SECRET, " 005 924\n", now=at(1234567890), after=0)
