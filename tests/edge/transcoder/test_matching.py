"""Which template a path means."""

import itertools

import pytest

from edge.transcoder.matcher import Matcher
from edge.transcoder.templates import parse


def matcher(*routes: str) -> Matcher[str]:
    """A matcher of routes written as `GET /path`; each leads to its own text."""
    made: Matcher[str] = Matcher()
    for route in routes:
        method, _, template = route.partition(" ")
        made.methods(parse(template))[method] = route
    return made


def found(made: Matcher[str], request: str) -> tuple[str, list[str]] | None:
    method, _, path = request.partition(" ")
    answer = made.find(method, path)
    return None if answer is None else (answer.target, answer.segments)


def target(made: Matcher[str], request: str) -> str | None:
    answer = found(made, request)
    return answer[0] if answer else None


@pytest.mark.parametrize(
    ("template", "path", "matches"),
    [
        ("/v1/{name=o/**}", "/v1/o", True),
        ("/v1/{name=o/**}", "/v1/o/a/b/c", True),
        ("/v1/{name=o/**}", "/v1", False),
        ("/v1/{name=o/**}", "/v1/p", False),
        ("/v1/{x=**}", "/v1", True),
        ("/**", "/", True),
        ("/{x=**}", "/", True),
        ("/{x=**}", "/a/b", True),
        ("/{x=*}", "/", False),
        ("/v1/{x=**}:do", "/v1:do", True),
        ("/v1/{x=**}:do", "/v1/:do", True),
        ("/v1/{x=**}:do", "/v1/a/b:do", True),
        ("/v1/{x=**}:do", "/v1/a:do/b", False),
        ("/v1/{x=**}:do", "/v1/a/b", False),
        ("/v1/{x=**}:do", "/v1/a:DO", False),
        ("/v1/{x=**}:do", "/v1/a:%64o", True),
        ("/other/**:verb", "/other:verb", True),
        ("/other/**:verb", "/other/a/b:verb", True),
        ("/**:verb", "/:verb", True),
        ("/v1/messages/{id}", "/v1/messages/a", True),
        ("/v1/messages/{id}", "/v1/messages/", False),
        ("/v1/messages/{id}", "/v1/messages", False),
        ("/v1/messages/{id}", "/v1/messages/a/", False),
        ("/v1/messages/{id}", "/v1//a", False),
        ("/v1/messages/{id}", "/v1/messages/a%2Fb", True),
        ("/v1/messages/{id}", "/v1/messages/a/b", False),
        ("/v1/messages", "/v1/messages/", False),
        ("/v1/messages", "/v1/%6Dessages", True),
        ("/v1/a%2Fb", "/v1/a%2fb", True),
        ("/v1/a%2Fb", "/v1/a/b", False),
        ("/v1/Messages", "/v1/messages", False),
    ],
)
def test_a_path_matches_segment_by_segment(template: str, path: str, matches: bool) -> None:
    assert (found(matcher(f"GET {template}"), f"GET {path}") is not None) == matches


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["GET /api/user/{id}", "GET /api/user/me", "GET /api/{x=**}"]))
)
def test_the_more_specific_template_wins_whatever_the_order(order: tuple[str, ...]) -> None:
    made = matcher(*order)

    assert target(made, "GET /api/user/me") == "GET /api/user/me"
    assert target(made, "GET /api/user/you") == "GET /api/user/{id}"
    assert target(made, "GET /api/user/you/too") == "GET /api/{x=**}"
    assert target(made, "GET /api/user") == "GET /api/{x=**}"


def test_a_dead_end_is_left_again() -> None:
    made = matcher("GET /v1/shelves/top/books/{b}", "GET /v1/shelves/{s}/authors/{a}")

    assert target(made, "GET /v1/shelves/top/authors/2") == "GET /v1/shelves/{s}/authors/{a}"


def test_a_literal_of_another_method_does_not_hide_a_variable() -> None:
    made = matcher("GET /a/b", "POST /a/*")

    assert target(made, "POST /a/b") == "POST /a/*"
    assert made.allowed("/a/b") == {"GET", "POST"}


def test_the_verb_is_the_text_after_the_last_colon_where_it_is_registered() -> None:
    made = matcher("GET /foo/{id}", "GET /foo/{id}:verb", "GET /bar/{id}")

    assert found(made, "GET /foo/a:b:verb") == ("GET /foo/{id}:verb", ["foo", "a:b"])
    assert found(made, "GET /foo/bar:123") == ("GET /foo/{id}", ["foo", "bar:123"])
    assert found(made, "GET /foo/urn:x:1") == ("GET /foo/{id}", ["foo", "urn:x:1"])
    assert found(made, "GET /bar/a:verb") == ("GET /bar/{id}", ["bar", "a:verb"])
    assert found(made, "GET /foo/a:verb:") == ("GET /foo/{id}", ["foo", "a:verb:"])
    assert found(made, "GET /foo/:verb") == ("GET /foo/{id}", ["foo", ":verb"])


def test_a_dead_end_before_a_verb_is_left_again() -> None:
    made = matcher("POST /a/b/*:do", "POST /a/{x=**}:do", "POST /a/b/c:undo", "GET /a/{x=**}")

    assert target(made, "POST /a/b/c:do") == "POST /a/b/*:do"
    assert target(made, "POST /a/b/c/d:do") == "POST /a/{x=**}:do"
    assert target(made, "POST /a/b/c:undo") == "POST /a/b/c:undo"
    assert target(made, "POST /a/b/d:undo") is None
    assert target(made, "GET /a/b/d:undo") == "GET /a/{x=**}"
    assert target(made, "GET /a/b/c:undo") is None


def test_an_encoded_colon_is_data() -> None:
    made = matcher("GET /{a=*}/{b=*}:verb", "GET /{a=**}", "GET /{a=**}:verb")

    assert target(matcher("GET /{a=*}/{b=*}:verb"), "GET /some/x%3Averb") is None
    assert found(made, "GET /x%3Averb") == ("GET /{a=**}", ["x%3Averb"])
    assert found(made, "GET /x:verb") == ("GET /{a=**}:verb", ["x"])


def test_a_registered_verb_never_falls_back_into_the_variable() -> None:
    made = matcher(
        "GET /v1/{name=publishers/*/books/*}", "POST /v1/{name=publishers/*/books/*}:archive", "GET /v1/x/{id}"
    )

    assert found(made, "GET /v1/publishers/p1/books/b1:archive") is None
    assert made.allowed("/v1/publishers/p1/books/b1:archive") == {"POST"}
    assert target(made, "GET /v1/publishers/p1/books/b1") == "GET /v1/{name=publishers/*/books/*}"
    assert target(made, "GET /v1/x/b1:archive") == "GET /v1/x/{id}"


def test_head_is_served_by_get_and_any_method_by_a_star() -> None:
    made = matcher("GET /a", "* /b", "HEAD /c", "GET /c", "POST /b")

    assert target(made, "HEAD /a") == "GET /a"
    assert target(made, "HEAD /c") == "HEAD /c"
    assert target(made, "PROPFIND /b") == "* /b"
    assert target(made, "POST /b") == "POST /b"
    assert target(made, "POST /a") is None


def test_a_path_full_of_wildcards_is_searched_in_no_time() -> None:
    made = matcher(*(f"GET /{'/'.join(combination)}/end" for combination in itertools.product("a*", repeat=8)))

    assert target(made, "GET /" + "/".join("a" * 8) + "/end") == "GET /a/a/a/a/a/a/a/a/end"
    assert target(made, "GET /" + "/".join("a" * 2000)) is None
