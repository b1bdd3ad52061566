import pytest

from auth_svc import addresses
from svckit.errors import InvalidArgument


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", " Ada@EXAMPLE.com "),
        ("ada@bücher.example", "ADA@XN--BCHER-KVA.example"),
        ("ren\u00e9@example.com", "Rene\u0301@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert addresses.parse(one).key == addresses.parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "a.da@example.com"),
        ("ada@example.com", "ada+chat@example.com"),
        ("a@b.example", "b@b.example"),
    ],
)
def test_dots_and_plus_signs_make_another_address(one: str, other: str) -> None:
    assert addresses.parse(one).key != addresses.parse(other).key


def test_the_typed_form_is_kept_but_for_the_domain_that_smtp_takes_in_ascii() -> None:
    address = addresses.parse(" Ada.L@Bücher.example ")

    assert address.typed == "Ada.L@Bücher.example"
    assert addresses.deliverable(address.typed) == "Ada.L@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "text", ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "a@example.com\nBcc: b@c", "a\0@b.example"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        addresses.parse(text)

    assert refused.value.violations[0].field == "email"
