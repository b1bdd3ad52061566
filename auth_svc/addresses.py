"""E-mail addresses: which texts are one, and which of them are the same."""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from svckit.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address. Two are the same when their `key` is; mail goes to `typed`.

    The key is NFC, in lower case, its domain in ASCII (IDNA). RFC 5321 lets a server tell `Bob@` from `bob@`; none
    does, and people type either. Dots and plus signs stay: what they mean is each provider's own affair.
    """

    typed: str
    key: str


def parse(text: str) -> Address:
    """Read an address, spaces around it aside; InvalidArgument on `email` if it is none.

    Whether mail arrives there is not asked: the mail itself will tell.
    """
    typed = text.strip()
    try:
        found = validate_email(typed, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise InvalidArgument.of("email", "must be an e-mail address", reason="EMAIL_INVALID") from error
    return Address(typed=typed, key=f"{found.local_part.lower()}@{found.ascii_domain}".lower())


def deliverable(typed: str) -> str:
    """An address as SMTP takes it: the domain in ASCII, the rest as it was typed."""
    found = validate_email(typed, check_deliverability=False, globally_deliverable=False)
    return f"{found.local_part}@{found.ascii_domain}"
