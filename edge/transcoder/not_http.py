"""What the HTTP parser refuses, as a problem that repeats none of its bytes; and how much it takes."""

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from edge.transcoder.problems import Problem

MOST_TARGET_BYTES = 8 * 1024
MOST_HEADER_BYTES = 16 * 1024  # of one header; Node's limit

_HEADER_LIMITS = f"A header may have {MOST_HEADER_BYTES} bytes, and a request 128 headers."


def not_http(error: BaseException | None) -> Problem | None:
    """The problem of an error that the parser raised; None if it was somebody else."""
    if isinstance(error, LineTooLong):
        if error.args[1] == MOST_TARGET_BYTES:
            return Problem(414, "uri_too_long", f"The path with its query may have {MOST_TARGET_BYTES} bytes.")
        return Problem(431, "headers_too_large", _HEADER_LIMITS)
    if not isinstance(error, BadHttpMessage):
        return None
    # The parser's words end where it begins to quote: "Invalid header token:\n\n  b'X : a'".
    reason = error.message.partition(":")[0].partition("\n")[0].rstrip(".")
    if reason == "Too many headers received":
        return Problem(431, "headers_too_large", _HEADER_LIMITS)
    return Problem(400, "malformed_request", f"This is not HTTP/1.1 that can be read: {reason}.")
