from datetime import timedelta
from typing import Any

import grpc
import pytest

from svckit import errors
from svckit.errors import FieldViolation, ServiceError
from svckit.rpc.status import received
from tests.svckit.probe import ProbeServicer, Reply, Request, calling


class Raising(ProbeServicer):
    """Raises one error in every way a handler can."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def Unary(self, request: Any, context: Any) -> Any:
        raise self._error

    async def Stream(self, request: Any, context: Any) -> Any:
        yield Reply(text="first")
        raise self._error


async def failure_of(error: Exception) -> ServiceError:
    async with calling(Raising(error)) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Unary(Request())
    return received(caught.value)


@pytest.mark.parametrize("kind", ServiceError.__subclasses__())
async def test_every_error_of_the_vocabulary_arrives_as_what_was_raised(kind: type[ServiceError]) -> None:
    error = await failure_of(kind("what is wrong", reason="SOME_REASON", metadata={"limit": "3"}))

    assert type(error) is kind
    assert (error.message, error.reason, error.metadata) == ("what is wrong", "SOME_REASON", {"limit": "3"})


async def test_without_a_reason_the_status_is_the_reason() -> None:
    error = await failure_of(errors.NotFound("no such thing"))

    assert error.reason == "NOT_FOUND"


async def test_field_violations_arrive() -> None:
    error = await failure_of(errors.InvalidArgument.of("new_password", "is too common", reason="PASSWORD_TOO_COMMON"))

    assert error.message == "new_password: is too common"
    assert error.violations == (FieldViolation("new_password", "is too common", "PASSWORD_TOO_COMMON"),)


async def test_an_error_with_an_http_status_of_its_own_declares_it() -> None:
    async with calling(Raising(errors.Unprocessable.of("key", "was used"))) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Unary(Request())

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ("x-http-status", "422") in tuple(caught.value.trailing_metadata() or ())


async def test_when_to_come_back_arrives() -> None:
    error = await failure_of(errors.ResourceExhausted("slow down", retry_after=timedelta(seconds=2.5)))

    assert error.retry_after == timedelta(seconds=2.5)


async def test_a_very_long_error_is_cut_instead_of_breaking_the_answer() -> None:
    violations = [FieldViolation(f"items[{n}].name", "é" * 1000) for n in range(1000)]
    error = await failure_of(errors.InvalidArgument("é" * 10_000, violations=violations))

    assert isinstance(error, errors.InvalidArgument)
    assert 0 < len(error.violations) < 1000


async def test_what_nobody_caught_says_nothing_to_the_caller() -> None:
    error = await failure_of(ValueError("the database password is hunter2"))

    assert isinstance(error, errors.Internal)
    assert error.message == "internal error"


async def test_a_stream_that_fails_delivers_what_came_before() -> None:
    async with calling(Raising(errors.Aborted("changed meanwhile"))) as probe:
        call = probe.Stream(Request())
        first = await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    assert first.text == "first"
    assert isinstance(received(caught.value), errors.Aborted)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.NOT_FOUND, errors.Internal),
    ],
)
async def test_a_failed_call_to_another_service_is_told_as_what_the_caller_can_do(
    code: grpc.StatusCode, kind: type[ServiceError]
) -> None:
    downstream = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="row 7 of table x")
    error = await failure_of(downstream)

    assert type(error) is kind
    assert "row 7" not in error.message


async def test_an_rpc_that_nobody_has_written_yet_is_unimplemented() -> None:
    async with calling(Raising(ValueError())) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Repeatable(Request())
        with pytest.raises(grpc.aio.AioRpcError) as caught_in_stream:
            await probe.Talk(iter([Request()])).read()

    assert isinstance(received(caught.value), errors.Unimplemented)
    assert isinstance(received(caught_in_stream.value), errors.Unimplemented)
