"""The post: writes the letters that are due and hands them to the SMTP server, until it takes them.

A letter is claimed for a while, written, sent and dropped. A crash in between means that it is sent again once the
claim has run out: twice is possible, never is not. What it says is decided when it leaves, by how the account is then.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from auth_svc import letter_store, mail_token_store, tokens, user_store
from auth_svc.clock import Clock
from auth_svc.letters import Kind, Stationery
from auth_svc.models import Letter, Mailing, MailToken, User
from auth_svc.smtp import MailDelayed, MailPutOff, MailRefused, SmtpConnection, SmtpServer
from svckit import postgres
from svckit.postgres import Database

log = structlog.get_logger(__name__)

_BATCH = 10
_CLAIM = timedelta(minutes=2)
_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(minutes=15)
_POLL_SECONDS = 1.0
_HEAD_START = 0.02  # seconds
# To one address, of the letters that anybody can ask for.
_MOST_A_PERIOD = 5
_PERIOD = timedelta(hours=1)
_MAILS = Counter("auth_mails_total", "Letters, by kind and by what became of a try to send them.", ["kind", "outcome"])


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter, written."""

    letter: Letter
    message: EmailMessage


class Post:
    """Sends letters; any number of replicas may, beside each other."""

    def __init__(self, *, database: Database, server: SmtpServer, stationery: Stationery, clock: Clock) -> None:
        self._database = database
        self._server = server
        self._stationery = stationery
        self._clock = clock

    async def run(self) -> None:
        """Send for ever. Raises when PostgreSQL goes away: run it again."""
        async with self._database.dedicated() as connection:
            driver = await postgres.listen(connection, letter_store.LETTERS_CHANNEL)
            while True:
                if not await self._send_due():
                    async for _ in driver.notifies(timeout=_POLL_SECONDS, stop_after=1):
                        # The answer leaves first, or the time it takes would tell whether there is a letter to write.
                        await asyncio.sleep(_HEAD_START)

    async def _send_due(self) -> bool:
        """Send a batch; False if nothing was due."""
        async with self._database.transaction() as session:
            claimed = await letter_store.claim_letters(
                session, kinds=list(Kind), now=self._clock(), lease=_CLAIM, limit=_BATCH
            )
        mails = [mail for letter in claimed if (mail := await self._write(letter))]
        if mails:
            await self._send_all(mails)
        return bool(claimed)

    async def _write(self, letter: Letter) -> Mail | None:
        """The letter as a mail, its new token kept; None, and the letter is dropped, if there is nothing to say."""
        now = self._clock()
        token = tokens.new_token()
        async with self._database.transaction() as session:
            user = await user_store.lock_user_by_email(session, letter.email_key)
            to = letter.recipient or (user and user.email)
            if not (to and await letter_store.letter_is_wanted(session, letter.id) and _has_a_point(letter, user, now)):
                await letter_store.drop_letter(session, letter.id)
                return None
            if Kind(letter.kind).for_the_asking and await _too_many(session, letter, now):
                return None
            if user and Kind(letter.kind).carries_token:
                await mail_token_store.add_mail_token(session, _kept(token, letter, user, now))
        return Mail(letter, self._stationery.write(letter, to=to, token=token, now=now))

    async def _send_all(self, mails: Sequence[Mail]) -> None:
        left = list(mails)
        try:
            async with self._server.connected() as connection:
                while left:
                    await self._send(connection, left[0])
                    left.pop(0)
        except MailDelayed as error:
            log.warning("mail waits", mails=len(left), error=str(error))
            await self._delay([mail.letter for mail in left])

    async def _send(self, connection: SmtpConnection, mail: Mail) -> None:
        try:
            await connection.send(mail.message)
        except MailPutOff as error:
            log.warning("mail waits", letter=mail.letter.id, error=str(error))
            await self._delay([mail.letter])
            return
        except MailRefused as error:
            _MAILS.labels(mail.letter.kind, "refused").inc()
            log.warning("mail was refused", letter=mail.letter.id, kind=mail.letter.kind, error=str(error))
        else:
            _MAILS.labels(mail.letter.kind, "sent").inc()
            log.info("mail sent", letter=mail.letter.id, kind=mail.letter.kind, attempts=mail.letter.attempts)
        async with self._database.transaction() as session:
            await letter_store.drop_letter(session, mail.letter.id)

    async def _delay(self, letters: Sequence[Letter]) -> None:
        """Try again later, and ever later: after 1, 2, 4 seconds up to a quarter of an hour."""
        async with self._database.transaction() as session:
            for letter in letters:
                _MAILS.labels(letter.kind, "delayed").inc()
                delay = min(_FIRST_DELAY * 2 ** min(letter.attempts - 1, 20), _LONGEST_DELAY)
                await letter_store.delay_letter(session, letter.id, until=self._clock() + delay)


async def _too_many(session: AsyncSession, letter: Letter, now: datetime) -> bool:
    """Count the letter, or put it off: nobody has more than so many sent to an address, nor keeps its owner's back."""
    lately = await letter_store.mailings_since(session, letter.email_key, now - _PERIOD)
    if any(mailing.letter_id == letter.id for mailing in lately):
        return False
    if len(lately) < _MOST_A_PERIOD:
        session.add(Mailing(letter_id=letter.id, email_key=letter.email_key, written_at=now))
        return False
    if await letter_store.another_letter_waits(session, letter):
        await letter_store.drop_letter(session, letter.id)
    else:
        await letter_store.put_off_letter(session, letter, until=lately[0].written_at + _PERIOD)
    return True


def _has_a_point(letter: Letter, user: User | None, now: datetime) -> bool:
    """Whether the account is still such that its owner should get the letter."""
    if letter.expires_at <= now:
        _MAILS.labels(letter.kind, "given_up").inc()
        log.error("mail was given up", letter=letter.id, kind=letter.kind, attempts=letter.attempts)
        return False
    if user is None:
        return letter.kind == Kind.ACCOUNT_DELETED
    answered = user.verified and letter.kind == Kind.VERIFY_ADDRESS
    return user.disabled_at is None and not answered


def _kept(token: str, letter: Letter, user: User, now: datetime) -> MailToken:
    return MailToken(
        digest=tokens.digest(token),
        user_id=user.id,
        kind=letter.kind,
        letter_id=letter.id,
        expires_at=now + Kind(letter.kind).lifetime,
    )
