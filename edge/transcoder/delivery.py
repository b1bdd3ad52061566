"""How an answer whose body is known leaves: with a validator, for its owner's cache only, compressed if that pays."""

from aiohttp import hdrs, web

from edge.transcoder import compression
from edge.transcoder.conditional import has_it, not_modified, tag

# Shared caches keep nobody's answer; a browser may keep its own, and asks before it shows it again.
_PRIVATE = "private, no-cache"


async def delivered(request: web.BaseRequest, response: web.Response, *, compress: bool = True) -> web.Response:
    """The response as it should leave: a 304 if the client has it, else with an ETag, and compressed if that pays.

    What the response says already (ETag, Cache-Control, Content-Encoding) stands. Not for streams.
    """
    is_read = request.method in ("GET", "HEAD")
    is_conditional = is_read and response.status == 200
    if is_conditional:
        tag(response)
    if is_read and hdrs.CACHE_CONTROL not in response.headers:
        response.headers[hdrs.CACHE_CONTROL] = _PRIVATE
    coding = compression.IDENTITY
    if compress:
        accepted = request.headers.getall(hdrs.ACCEPT_ENCODING, ())
        coding = compression.coding_for(response, ", ".join(accepted))
    if is_conditional and has_it(request, response):
        return not_modified(response)
    if coding != compression.IDENTITY:
        await compression.encode(response, coding)
    return response
