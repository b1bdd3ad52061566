import pytest
from pydantic import ValidationError

from auth_svc.settings import AuthSettings
from auth_svc.smtp import SmtpServer


def test_production_refuses_every_development_default_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        AuthSettings.model_validate({"chatmesh_env": "production", "smtp_url": "http://mail.example"})

    named = {error["loc"][0] for error in refused.value.errors()}
    assert named == {
        "service_secret",
        "mfa_secret",
        "database_url",
        "redis_url",
        "nats_url",
        "smtp_url",
        "mail_from",
        "public_url",
    }


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, None, None, False, None)),
        ("smtp://u%40x:p%3Aw@mail.example:25", SmtpServer("mail.example", 25, "u@x", "p:w", False, True)),
        ("smtp://u:p@mail.example?starttls=offered", SmtpServer("mail.example", 587, "u", "p", False, None)),
        ("smtp://127.0.0.1:1025?starttls=off", SmtpServer("127.0.0.1", 1025, None, None, False, False)),
        ("smtps://u:p@mail.example", SmtpServer("mail.example", 465, "u", "p", True, False)),
    ],
)
def test_the_smtp_url_says_where_as_whom_and_how_safely(url: str, server: SmtpServer) -> None:
    assert SmtpServer.at(url) == server


@pytest.mark.parametrize("url", ["mail.example", "smtp://", "smtp://mail.example?starttls=maybe"])
def test_a_wrong_smtp_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        SmtpServer.at(url)
