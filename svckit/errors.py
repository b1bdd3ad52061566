"""The errors that a caller can act on: raise one anywhere below an RPC and the caller gets its status and details."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Self

import grpc


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that the caller must change; `field` is a dotted path in the proto's own spelling."""

    field: str
    description: str
    reason: str = ""


class ServiceError(Exception):
    """An error for the caller: `message` says in plain words what is wrong, `reason` says it to programs.

    `reason` is UPPER_SNAKE and stable (google.rpc.ErrorInfo.reason); without one it is the status's name.
    `retry_after` promises that the same call can succeed after that time.
    """

    status: ClassVar[grpc.StatusCode]
    http_status: ClassVar[int | None] = None  # over REST, where that is not the one of google.rpc.Code

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.status.name
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgument(ServiceError):
    """The request is wrong in itself, whatever the state of the system."""

    status = grpc.StatusCode.INVALID_ARGUMENT

    @classmethod
    def of(cls, field: str, description: str, *, reason: str = "") -> Self:
        """One wrong field: `InvalidArgument.of("password", "must not be the e-mail address")`."""
        violation = FieldViolation(field, description, reason)
        return cls(f"{field}: {description}", reason=reason, violations=[violation])


class Unprocessable(InvalidArgument):
    """The request is well formed, and still cannot be followed as it is. HTTP says so with a status of its own."""

    http_status = 422


class NotFound(ServiceError):
    """There is no such thing, or it is not the caller's."""

    status = grpc.StatusCode.NOT_FOUND


class AlreadyExists(ServiceError):
    """What the caller wanted to make is there already."""

    status = grpc.StatusCode.ALREADY_EXISTS


class Unauthenticated(ServiceError):
    """It is not known who calls; signing in helps."""

    status = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(ServiceError):
    """It is known who calls, and they may not do this."""

    status = grpc.StatusCode.PERMISSION_DENIED


class FailedPrecondition(ServiceError):
    """Something else must change before this call can succeed; retrying alone does not help."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(ServiceError):
    """Another change came first; read again, then retry."""

    status = grpc.StatusCode.ABORTED


class ResourceExhausted(ServiceError):
    """A quota or a limit is used up; `retry_after` says for how long."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED


class OutOfRange(ServiceError):
    """The request points past the end of what there is."""

    status = grpc.StatusCode.OUT_OF_RANGE


class Unavailable(ServiceError):
    """Something that this needs is away for now; retrying helps."""

    status = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(ServiceError):
    """The work took longer than the caller, or the server's default, allows."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED


class Unimplemented(ServiceError):
    """The contract names this RPC and nothing serves it yet."""

    status = grpc.StatusCode.UNIMPLEMENTED


class Internal(ServiceError):
    """Our own fault. What nobody caught becomes this; the caller is told nothing more."""

    status = grpc.StatusCode.INTERNAL
