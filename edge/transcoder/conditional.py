"""Conditional requests: an answer that the client has already is not sent again (RFC 9110, section 13)."""

import hashlib
import re

from aiohttp import hdrs, web

from edge.transcoder.metadata import CONTENT_HEADERS

_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")')
_CHEAP_BYTES = 1024 * 1024  # a tag for more would hold the event loop up for more than a millisecond


def tag(response: web.Response) -> None:
    """Give an answer its validator, unless the service declared one.

    It is computed from the body, and weak: it stands for the same content in any coding.
    """
    body = response.body
    if hdrs.ETAG not in response.headers and isinstance(body, bytes) and len(body) <= _CHEAP_BYTES:
        response.headers[hdrs.ETAG] = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def has_it(request: web.BaseRequest, response: web.Response) -> bool:
    """Whether `If-None-Match` names the answer's tag, compared weakly, or is `*`."""
    given = request.headers.getall(hdrs.IF_NONE_MATCH, ())
    if not given:
        return False
    if any(value.strip() == "*" for value in given):
        return True
    tag = response.headers.get(hdrs.ETAG, "").removeprefix("W/")
    return any(tag in _TAG.findall(value) for value in given)


def not_modified(response: web.Response) -> web.Response:
    """The 304 in place of an answer: with its headers but for those that tell of the content."""
    headers = response.headers.copy()
    for name in CONTENT_HEADERS:
        headers.popall(name, None)
    return web.Response(status=304, headers=headers)
