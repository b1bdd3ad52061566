import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from svckit import identity, logs, telemetry
from svckit.identity import Identity


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_the_ids_of_the_work_at_hand(stream: io.StringIO) -> None:
    logs.configure("shop", stream=stream)
    telemetry.request_id.set("r-1")
    identity.serve_as(Identity(user_id="u-1"))
    with telemetry.span("work") as span:
        structlog.get_logger().info("sold", pieces=3)

    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "sold",
        "level": "info",
        "service": "shop",
        "pieces": 3,
        "request_id": "r-1",
        "trace_id": span.place.trace_id,
        "span_id": span.place.span_id,
        "user_id": "u-1",
    }
    telemetry.request_id.set("")
    identity.serve_as(Identity())


def test_secrets_are_masked_by_their_name_and_numbers_of_tokens_are_not(stream: io.StringIO) -> None:
    logs.configure("shop", stream=stream)
    structlog.get_logger().info("x", password="a", access_token="b", Authorization="c", api_key="d", tokens_in=5)

    line = json.loads(stream.getvalue())
    assert {line[key] for key in ("password", "access_token", "Authorization", "api_key")} == {"***"}
    assert line["tokens_in"] == 5


def test_libraries_log_in_the_same_form(stream: io.StringIO) -> None:
    logs.configure("shop", stream=stream)
    logging.getLogger("some.library").warning("odd: %s", "thing")
    logging.getLogger("some.library").debug("noise")

    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["service"]) == ("odd: thing", "warning", "shop")


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    logs.configure("shop", level="warning", stream=stream)
    structlog.get_logger().info("noise")

    assert stream.getvalue() == ""


def test_the_console_form_is_for_people(stream: io.StringIO) -> None:
    logs.configure("shop", format_="console", stream=stream)
    structlog.get_logger().info("sold", pieces=3)

    assert "sold" in stream.getvalue()
    assert "pieces=3" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_an_error_brings_its_traceback_on_the_same_line(stream: io.StringIO) -> None:
    logs.configure("shop", stream=stream)
    try:
        raise ValueError("surprise")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: surprise" in json.loads(line)["exception"]
