"""The grammar of path templates, and that a path built from a template leads back to it."""

import re
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.transcoder.escapes import EscapeError, Unescape, decode, decode_form, decode_multi
from edge.transcoder.matcher import Matcher
from edge.transcoder.templates import TemplateError, Variable, parse


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "v1/x", "/a/", "/a//b", "//a", "/foo/bar*", "/foo/***", "/*a", "/a/**/b", "/{x=**}/b", "/a?b", "/a#b",
        "/a b", "/a%zz", "/a%4", "/é", "/{1}", "/{a-b}", "/{a..b}", "/{.a}", "/{a.}", "/{}", "/{=a}", "/{a=}",
        "/{a=/b}", "/{a=b/}", "/{a=b/{c}}", "/{a", "/a}", "/{a}{b}", "/a{b}", "/{a}b", "/{a}/{a}", "/{v}:", "/:verb",
        "/a:b/c", "/a:b:c", "/{a=b:c}", "/a:*", "/a:{b}",
    ],
)  # fmt: skip
def test_a_template_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "segments", "verb"),
    [
        ("/a", ("a",), ""),
        ("/a/*/b", ("a", "*", "b"), ""),
        ("/**", ("**",), ""),
        ("/a/**:undelete", ("a", "**"), "undelete"),
        ("/{a}", ("*",), ""),
        ("/{a.b_1=x/*/y/**}:do", ("x", "*", "y", "**"), "do"),
        ("/.well-known/jwks.json", (".well-known", "jwks.json"), ""),
        ("/%61b%2fc", ("ab%2Fc",), ""),
    ],
)
def test_a_template_is_read_as_its_segments_and_verb(text: str, segments: tuple[str, ...], verb: str) -> None:
    template = parse(text)

    assert (template.segments, template.verb) == (segments, verb)


def test_variables_know_their_place() -> None:
    variables = parse("/v1/{a}/{b.c=x/*}/{d=**}").variables

    assert variables == (
        Variable(("a",), 1, 2, multi=False),
        Variable(("b", "c"), 2, 4, multi=True),
        Variable(("d",), 4, None, multi=True),
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Unescape.ALL_EXCEPT_SLASH, "b:c%2fd e%2Ff"),
        (Unescape.ALL_EXCEPT_RESERVED, "b%3ac%2fd e%2Ff"),
        (Unescape.ALL, "b:c/d e/f"),
    ],
)
def test_what_stays_encoded_in_a_multi_segment_variable_is_an_option(mode: Unescape, expected: str) -> None:
    assert decode_multi("b%3ac%2fd%20e%2Ff", mode) == expected


@pytest.mark.parametrize("text", ["%", "%z", "%4", "%zz", "a%FF", "%C3", "%ED%A0%80", "\udcff"])
def test_an_escape_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(EscapeError):
        decode(text)
    with pytest.raises(EscapeError):
        decode_multi(text + "%2F", Unescape.ALL_EXCEPT_SLASH)


def test_a_plus_is_a_space_only_in_a_query() -> None:
    assert decode("a+b") == "a+b"
    assert decode_form("a+b%2B") == "a b+"


RESERVED = ":/?#[]@!$&'()*+,;="  # RFC 3986, section 2.2


@pytest.mark.parametrize(
    ("mode", "kept"), [(Unescape.ALL_EXCEPT_SLASH, "/"), (Unescape.ALL_EXCEPT_RESERVED, RESERVED), (Unescape.ALL, "")]
)
@given(data=st.data())
def test_each_mode_keeps_its_characters_encoded_and_decodes_the_rest(
    mode: Unescape, kept: str, data: st.DataObject
) -> None:
    text = data.draw(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(RESERVED + "%"), max_size=12))

    expected = "".join(quote(character, safe="") if character in kept else character for character in text)
    assert decode_multi(quote(text, safe=""), mode) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_decoding_undoes_encoding_once(text: str) -> None:
    assert decode(quote(text, safe="")) == text
    assert decode_multi(quote(text, safe="/"), Unescape.ALL) == text


LITERALS = st.text(string.ascii_letters + string.digits + "-._~$&'+@", min_size=1, max_size=5)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
PIECES = st.one_of(
    LITERALS.map(lambda text: (text, [text])),
    VALUES.map(lambda value: ("*", [quote(value, safe="")])),
)


@st.composite
def templates_with_paths(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    """A template, a path built for it, and what its variables must hold."""
    texts: list[str] = []
    segments: list[str] = []
    held: dict[str, str] = {}
    for index in range(draw(st.integers(1, 5))):
        pieces = draw(st.lists(PIECES, min_size=1, max_size=3))
        inner, parts = "/".join(piece for piece, _ in pieces), [part for _, found in pieces for part in found]
        if draw(st.booleans()):
            inner = f"{{v{index}={inner}}}" if inner != "*" or draw(st.booleans()) else f"{{v{index}}}"
            held[f"v{index}"] = "/".join(parts)
        texts.append(inner)
        segments += parts
    if draw(st.booleans()):
        tail = [quote(value, safe="") for value in draw(st.lists(VALUES, max_size=3))]
        texts.append("{rest=**}")
        segments += tail
        held["rest"] = "/".join(tail)
    verb = draw(st.one_of(st.just(""), LITERALS.map(lambda text: f":{text}")))
    return "/" + "/".join(texts) + verb, "/" + "/".join(segments) + verb, held


@given(templates_with_paths())
def test_a_path_built_from_a_template_gives_its_values_back(case: tuple[str, str, dict[str, str]]) -> None:
    text, path, held = case
    template = parse(text)
    matcher: Matcher[str] = Matcher()
    matcher.methods(template)["GET"] = "here"

    found = matcher.find("GET", path)

    assert found is not None
    values = {v.path[0]: "/".join(found.segments[v.start : v.end]) for v in template.variables}
    assert values == held


# The grammar once more, as one expression (google/api/http.proto), for texts of its own characters.
SEGMENT = r"(?:\*\*|\*|(?:[ab.]|%2[Ff])+)"
VARIABLE = rf"\{{[ab]+(?:\.[ab]+)*(?:={SEGMENT}(?:/{SEGMENT})*)?\}}"
GRAMMAR = re.compile(rf"(?:/(?:{SEGMENT}|{VARIABLE}))+(?::(?:[ab.]|%2[Ff])+)?")
REST_BEFORE_THE_END = re.compile(r"\*\*\}?/")


@given(st.lists(st.sampled_from(["/", "/", "a", "b", "*", "**", "{", "}", "=", ".", ":", "%2F", "{a}", "/{b=*}"])))
def test_a_text_is_a_template_exactly_if_the_grammar_has_it(parts: list[str]) -> None:
    text = "".join(parts)
    names = re.findall(r"\{([^=}]*)", text)
    expected = GRAMMAR.fullmatch(text) and not REST_BEFORE_THE_END.search(text) and len(set(names)) == len(names)

    try:
        parse(text)
    except TemplateError:
        assert not expected
    else:
        assert expected


@given(st.text(max_size=30).map(lambda text: "/" + text))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError:
        return
    assert template.segments
