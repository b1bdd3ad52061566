"""The conversation with the SMTP server: a password is only for the server that it is meant for."""

import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auth_svc.smtp import MailDelayed, SmtpServer
from tests.auth_svc.inbox import LOOPBACK, Inbox, listening


class Accounts:
    """What was shown to the server as user and password; it takes `mailer` and `s3cret`."""

    def __init__(self) -> None:
        self.shown: list[tuple[bytes, bytes]] = []

    def __call__(self, *arguments: object) -> AuthResult:
        offered = arguments[-1]
        assert isinstance(offered, LoginPassword)
        self.shown.append((offered.login, offered.password))
        # Not handled: the server itself says that it was refused.
        return AuthResult(success=offered == LoginPassword(b"mailer", b"s3cret"), handled=False)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of the loopback address, signed by itself, and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "server.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path) -> Iterator[None]:
    """Have this machine trust the certificate, as an administrator would: by OpenSSL's own variable."""
    before = os.environ.copy()
    os.environ["SSL_CERT_FILE"] = str(certificate)
    yield
    os.environ.clear()
    os.environ.update(before)


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "chat@example.com", "ada@example.com", "Hello"
    message.set_content("Hello")
    return message


async def send(port: int, *, password: str = "s3cret") -> None:
    server = SmtpServer.at(f"smtp://mailer:{password}@{LOOPBACK}:{port}")
    async with server.connected() as connection:
        await connection.send(mail())


@pytest.mark.usefixtures("trusted")
async def test_a_server_that_proves_who_it_is_gets_the_password_over_tls(
    accounts: Accounts, tls: ssl.SSLContext
) -> None:
    inbox = Inbox()
    async with listening(
        inbox, tls_context=tls, require_starttls=True, authenticator=accounts, auth_required=True
    ) as port:
        await send(port)

    assert accounts.shown == [(b"mailer", b"s3cret")]
    assert inbox.waiting("ada@example.com") == ["Hello"]


async def test_a_server_whose_certificate_nobody_vouches_for_gets_no_password(
    accounts: Accounts, tls: ssl.SSLContext
) -> None:
    async with listening(Inbox(), tls_context=tls, authenticator=accounts) as port:
        with pytest.raises(MailDelayed):
            await send(port)

    assert accounts.shown == []


async def test_a_server_without_tls_gets_no_password(accounts: Accounts) -> None:
    """As when somebody in between takes STARTTLS out of what it offers."""
    async with listening(Inbox(), authenticator=accounts, auth_require_tls=False) as port:
        with pytest.raises(MailDelayed):
            await send(port)

    assert accounts.shown == []


@pytest.mark.usefixtures("trusted")
async def test_a_wrong_password_delays_mail_and_is_not_in_what_is_said_of_it(
    accounts: Accounts, tls: ssl.SSLContext
) -> None:
    async with listening(Inbox(), tls_context=tls, authenticator=accounts) as port:
        with pytest.raises(MailDelayed) as delayed:
            await send(port, password="mistyped")

    assert set(accounts.shown) == {(b"mailer", b"mistyped")}
    assert "mistyped" not in f"{delayed.value!r} {delayed.value.__cause__!r}"
