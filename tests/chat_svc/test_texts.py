"""Texts that come in any pieces end up the same, and fit to be kept."""

from hypothesis import given
from hypothesis import strategies as st

from chat_svc.texts import Cleaner, clean, title_of

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT, st.lists(st.integers(0, 20)))
def test_cutting_a_text_into_pieces_changes_nothing(text: str, cuts: list[int]) -> None:
    cleaner = Cleaner()
    rest, pieces = text, []
    for cut in cuts:
        pieces.append(cleaner.feed(rest[:cut]))
        rest = rest[cut:]
    pieces += [cleaner.feed(rest), cleaner.rest()]

    assert "".join(pieces) == clean(text)


@given(ANY_TEXT)
def test_a_clean_text_is_valid_utf_8_without_nul(text: str) -> None:
    cleaned = clean(text)

    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned


def test_the_halves_of_a_surrogate_pair_become_one_character() -> None:
    assert clean("\ud83d\ude00") == "😀"


@given(ANY_TEXT)
def test_a_title_is_one_line_of_sixty_characters_at_most(text: str) -> None:
    title = title_of(clean(text))

    assert len(title) <= 60
    assert len(title.splitlines()) <= 1
