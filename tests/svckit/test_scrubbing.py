import pytest

from svckit.scrubbing import scrubbed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abc.DEF-123456", "Authorization: Bearer ***"),
        ("got eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbg back", "got *** back"),
        ("key cmk_0123456789abcdef and sk-ant-api03-abcdefgh", "key *** and ***"),
        ("postgresql://chat:hunter2@db:5432/chat", "postgresql://chat:***@db:5432/chat"),
        ("{'password': 'correct horse', 'n': 1}", "{'password': '*** horse', 'n': 1}"),
        ("mail to ada.l@example.com failed", "mail to *** failed"),
    ],
)
def test_what_looks_like_a_credential_or_an_address_is_taken_out(text: str, left: str) -> None:
    assert scrubbed(text) == left


@pytest.mark.parametrize(
    "text", ["tokens: 5", "ValueError: surprise", "chatmesh.auth.v1.AuthService/SignIn", "risk-free"]
)
def test_other_text_stays(text: str) -> None:
    assert scrubbed(text) == text
