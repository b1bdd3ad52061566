"""Who calls, and from where: noted with a session, and with whatever matters to an account's safety."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A browser or program; ids are empty while it has not signed in.

    `session_id` is what its access token says: for an API key it is the id of no session.
    """

    user_agent: str
    ip_address: str
    user_id: str = ""
    session_id: str = ""
