import stat
from email import message_from_bytes, policy
from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib

from svckit import local


def _mail(subject: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "chatmesh <no-reply@example.com>"
    mail["To"] = "ada@example.com"
    mail["Subject"] = subject
    mail.set_content("Grüße\n.\n..dots\n")
    return mail


async def _send(url: str, *mails: EmailMessage) -> None:
    server = urlsplit(url)
    async with aiosmtplib.SMTP(hostname=server.hostname, port=server.port, start_tls=False) as client:
        for mail in mails:
            await client.send_message(mail)


async def test_a_mail_lands_as_a_file_as_it_was_sent(home: local.Home) -> None:
    async with local.mail_catcher(home) as url:
        await _send(url, _mail("Welcome"))

    (kept,) = (home.path / "mail").iterdir()
    mail = message_from_bytes(kept.read_bytes(), policy=policy.default)
    assert kept.suffix == ".eml"
    assert mail["Subject"] == "Welcome"
    assert mail["To"] == "ada@example.com"
    assert mail.get_content().replace("\r\n", "\n") == "Grüße\n.\n..dots\n"
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


async def test_mails_sort_by_arrival(home: local.Home) -> None:
    subjects = [f"number {number}" for number in range(12)]

    async with local.mail_catcher(home) as url:
        await _send(url, *(_mail(subject) for subject in subjects))

    kept = sorted((home.path / "mail").iterdir())
    assert [message_from_bytes(file.read_bytes())["Subject"] for file in kept] == subjects
