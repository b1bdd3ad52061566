"""How often readers hear of an answer: as a rule, and as the event loop's own lateness makes it."""

import asyncio
import time

import pytest

from chat_svc.pace import Pace, interval


@pytest.mark.parametrize("writing", [0, 1, 15])
def test_a_replica_with_time_and_few_answers_tells_every_15_milliseconds(writing: int) -> None:
    assert interval(writing=writing, lag=0.002) == 0.015


@pytest.mark.parametrize("writing", [16, 100, 500])
def test_a_replica_tells_at_most_a_thousand_events_a_second_however_many_answers_it_writes(writing: int) -> None:
    assert writing / interval(writing=writing, lag=0) == pytest.approx(1000)


def test_a_replica_that_is_late_tells_less_often() -> None:
    assert interval(writing=1, lag=0.02) == pytest.approx(0.1)
    assert interval(writing=200, lag=0.02) == pytest.approx(0.2)


@pytest.mark.parametrize(("writing", "lag"), [(1000, 0), (1, 5)])
def test_no_reader_waits_longer_than_half_a_second_for_what_has_come(writing: int, lag: float) -> None:
    assert interval(writing=writing, lag=lag) == 0.5


async def test_an_event_loop_that_is_kept_busy_widens_the_pace() -> None:
    pace = Pace()
    before = pace.interval

    resting = asyncio.create_task(pace.rest())
    await asyncio.sleep(0)  # it has begun
    time.sleep(0.3)  # noqa: ASYNC251 -- the load
    await resting

    assert pace.interval > before
