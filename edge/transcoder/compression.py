"""Content codings: which one a client wants (RFC 9110, section 12.5.3), and bodies in it.

Order and levels were chosen by measuring a page of 4 kB and a list of 1 MB (docs/decisions/0013): among codings that
a client likes equally, the cheapest for its size first.
"""

import asyncio
import gzip
import re
import sys
from collections.abc import Callable
from functools import lru_cache

import brotli
from aiohttp import hdrs, web

from edge.transcoder.negotiation import qualities

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

IDENTITY = "identity"

_LEAST_BYTES = 1024  # below, the answer is one packet anyway
_THREAD_BYTES = 128 * 1024  # from here on the slowest of the three holds the loop up for more than a millisecond
_COMPRESSIBLE = re.compile(
    r"text/(?!event-stream)|application/(?:json|javascript|xml|yaml|wasm|x-ndjson)\b|[a-z]+/[^;]+\+(?:json|xml|yaml)\b",
    re.IGNORECASE,
)
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: zstd.compress(data, level=3),
    "br": lambda data: bytes(brotli.compress(data, quality=3)),
    "gzip": lambda data: gzip.compress(data, compresslevel=3, mtime=0),
}


def coding_for(response: web.Response, accept_encoding: str) -> str:
    """The coding that the client wants this body in, if that pays, else `identity`; notes the choice in `Vary`.

    `accept_encoding` is the request's header. Left as they are: what is small or compressed already, what says
    `no-transform`, what has a strong ETag (the service vouches for each byte of it), and what sets a cookie. Such an
    answer carries a new secret; compressed beside text of an attacker's choosing its length would tell of it (BREACH).
    """
    body = response.body
    if not isinstance(body, bytes) or not body or not _may_compress(response):
        return IDENTITY
    coding, takes_plain = _wanted(accept_encoding)
    if takes_plain and len(body) < _LEAST_BYTES:
        return IDENTITY
    response.headers.add(hdrs.VARY, hdrs.ACCEPT_ENCODING)
    return coding


async def encode(response: web.Response, coding: str) -> None:
    """Put the body into a coding, in a thread if it is large."""
    body, encoder = response.body, _ENCODERS[coding]
    assert isinstance(body, bytes)
    response.headers[hdrs.CONTENT_ENCODING] = coding
    response.body = encoder(body) if len(body) < _THREAD_BYTES else await asyncio.to_thread(encoder, body)


def _may_compress(response: web.Response) -> bool:
    headers = response.headers
    return (
        hdrs.CONTENT_ENCODING not in headers
        and hdrs.SET_COOKIE not in headers
        and not headers.get(hdrs.ETAG, "").startswith('"')
        and _is_compressible(headers.get(hdrs.CONTENT_TYPE, ""))
        and "no-transform" not in headers.get(hdrs.CACHE_CONTROL, "")
    )


@lru_cache(maxsize=256)
def _is_compressible(content_type: str) -> bool:
    return bool(_COMPRESSIBLE.match(content_type))


@lru_cache(maxsize=1024)  # clients send few different headers
def _wanted(accept_encoding: str) -> tuple[str, bool]:
    """The coding to use, and whether the client takes a plain body at all.

    One that takes nothing we can make gets a plain body all the same: the RPC has been called, and a refusal now would
    hide what it did.
    """
    given = {name.removeprefix("x-"): quality for name, quality in qualities(accept_encoding)}
    anything = given.get("*", 0.0)
    plain = given.get(IDENTITY, anything if "*" in given else 1.0) > 0
    floor = given.get(IDENTITY, 0.0)
    chosen, best = IDENTITY, 0.0
    for coding in _ENCODERS:
        quality = given.get(coding, anything)
        if quality > best and quality >= floor:
            chosen, best = coding, quality
    return chosen, plain or chosen == IDENTITY
