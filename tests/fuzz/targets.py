"""What `make fuzz` feeds bytes to: each target accepts or refuses them; any exception that gets out is a finding."""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edge.transcoder import GrpcUpstream, Refused, Transcoder
from edge.transcoder.matcher import Matcher
from edge.transcoder.templates import Template, TemplateError, normal, parse
from tests.edge.transcoder import probe
from tests.edge.transcoder.probe import Messages

with tempfile.TemporaryDirectory() as _scratch:
    _DESCRIPTORS = probe.compiled(probe.PROTOS, "probe/v1/probe.proto", Path(_scratch))
_TRANSCODER = Transcoder(_DESCRIPTORS, GrpcUpstream({}))
_PROBE = Messages(_DESCRIPTORS)["probe.v1.Probe"]

_ROUTES = (
    "GET /a", "GET /a/b", "POST /a/*", "GET /a/{x}", "GET /a/{x}:do", "POST /a/{x=b/*}:do", "GET /a/**", "PUT /a/**:do",
    "GET /{x=*}/c", "* /b", "GET /b/{x=**}", "GET /%61%2F/*", "DELETE /*/*/*:undo", "GET /**:undo",
)  # fmt: skip


def templates(data: bytes) -> None:
    """A template is read, with all its segments, or refused as such."""
    try:
        template = parse(data.decode("latin-1"))
    except TemplateError:
        return
    assert template.segments
    assert all(segment in ("*", "**") or "/" not in segment for segment in template.segments)


def matcher(data: bytes) -> None:
    """The trie finds a template exactly where regular expressions, tried one by one, do."""
    method, _, path = data.decode("latin-1").partition(" ")
    path = "/" + path
    expected = _matching(method, path)

    found = _MATCHER.find(method, path)

    assert (found is None) == (not expected), (found, expected)
    assert found is None or found.target in expected, (found, expected)


def query(data: bytes) -> None:
    """A query is refused, or bound to bytes that google's runtime reads."""
    target = "/q?" + data.decode("latin-1")
    _bound("GET", target, b"")


def path(data: bytes) -> None:
    """A path with variables of several types is refused, or bound to bytes that google's runtime reads."""
    _bound("GET", "/q/int/" + data.decode("latin-1"), b"")


def body(data: bytes) -> None:
    """JSON is refused, or bound to bytes that google's runtime reads, and what is printed of them is the same JSON."""
    message = _bound("POST", "/b/star", data)
    if message is None:
        return
    message.ClearField("mask")  # one with other things than names (map keys) can be read, and not be printed
    printed = _TRANSCODER.match("POST", "/b/star").route.print_body(message.SerializeToString()).data
    again = _bound("POST", "/b/star", printed)
    assert again is not None
    assert again.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


class Target(NamedTuple):
    """What to call, and what a corpus starts from."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


TARGETS: Mapping[str, Target] = {
    "templates": Target(templates, (b"/v1/{a.b=x/*/y/**}:do", b"/a/*/%61", b"/{a}/{b=**}")),
    "matcher": Target(
        matcher,
        (
            b"GET a/b",
            b"POST a/b:do",
            b"GET a/",
            b"GET a/b%3Ado",
            b"PUT a/x/y:do",
            b"GET %61%2f/b",
            b"DELETE 1/2/3:undo",
        ),
    ),
    "query": Target(
        query,
        (
            b"stringValue=a+b%20&int32_value=1e5&repeatedInt32=1&repeatedInt32=2",
            b"child.child.text=a&choiceChild.number=1&mask=foo,barBaz&timestamp=2020-01-01T00:00:00Z",
            b"duration=-0.5s&color=RED&bytesValue=_-&doubleValue=NaN&int64Wrapper=9007199254740993&m[k]=v",
        ),
    ),
    "path": Target(path, (b"1/RED/true", b"-5/1/false?stringValue=a", b"1e3/%52ED/true")),
    "body": Target(
        body,
        (
            b'{"stringValue":"a","int64Value":"9007199254740993","repeatedInt32":[1,"2",3e0],"m":{"a":"b"}}',
            b'{"any":{"@type":"type.googleapis.com/probe.v1.Child","text":"a"},"jsonValue":[1,null,{"a":"\\ud83d\\ude00"}]}',
            b'{"timestamp":"1969-12-31T23:59:59.999999999Z","duration":"-0.5s","mask":"foo,barBaz","color":-1}',
            b'{"mapInt32Child":{"-1":{"child":{"tags":["x"]}}},"choiceChild":{},"int32Wrapper":0,"doubleValue":"-Infinity"}',
        ),
    ),
}


def _bound(method: str, target: str, data: bytes) -> Any:
    """The message as google's runtime reads it; None if the request is refused."""
    try:
        match = _TRANSCODER.match(method, target)
        return _PROBE.FromString(match.route.bind(match.segments, match.query, data, ""))
    except Refused as refused:
        if refused.problem.status >= 500:
            raise
        return None


def _matcher() -> Matcher[str]:
    made: Matcher[str] = Matcher()
    for route in _ROUTES:
        method, _, template = route.partition(" ")
        made.methods(parse(template))[method] = route
    return made


_MATCHER = _matcher()


def _expression(template: Template) -> re.Pattern[str]:
    parts = ["" for _ in template.segments]
    for index, segment in enumerate(template.segments):
        parts[index] = {"*": "/[^/]+", "**": "(?:/.*)?"}.get(segment, "/" + re.escape(segment))
    return re.compile("".join(parts), re.DOTALL)


_EXPRESSIONS = {
    route: (route.partition(" ")[0], _expression(parse(route.partition(" ")[2])), parse(route.partition(" ")[2]).verb)
    for route in _ROUTES
}
_VERBS = {verb for _, _, verb in _EXPRESSIONS.values() if verb}


def _matching(method: str, path: str) -> set[str]:
    """The routes that may answer; with a registered verb somewhere at this path, only those with that verb."""
    stem, colon, verb = path.rpartition(":")
    if colon and "/" not in verb and normal(verb) in _VERBS:
        at_verb = {route for route in _EXPRESSIONS if _serves(route, stem, normal(verb))}
        if at_verb:
            return {route for route in at_verb if _method_fits(route, method)}
    return {route for route in _EXPRESSIONS if _serves(route, path, "") and _method_fits(route, method)}


def _serves(route: str, path: str, verb: str) -> bool:
    _, expression, own_verb = _EXPRESSIONS[route]
    spelled = "/".join(normal(segment) for segment in path.split("/"))
    return own_verb == verb and bool(expression.fullmatch("" if spelled == "/" else spelled))


def _method_fits(route: str, method: str) -> bool:
    own = _EXPRESSIONS[route][0]
    return own in (method, "*") or (own, method) == ("GET", "HEAD")
