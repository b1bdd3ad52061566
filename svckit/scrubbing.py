"""Takes secrets out of text that nobody has looked at: tracebacks, and what error tracking is sent."""

import re

_MASK = "***"
_SECRETS = re.compile(
    r"""(?x)
    (?P<name> \b (?: bearer | basic ) \s+ ) [A-Za-z0-9._~+/=-]{8,}           # an Authorization header's value
    | \b ey[JK] [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]+ \. [A-Za-z0-9_-]*         # a JSON Web Token
    | \b (?: cmk | sk | rk | pk | whsec | cmr ) [_-] [A-Za-z0-9_-]{8,}        # keys of ours, of providers and of Stripe
    | (?P<url> :// [^/\s:@]* : ) [^/\s@]+ (?= @ )                             # a password in a URL
    | (?P<field> \b (?: password | secret | token | api_?key | cookie ) ["']? \s* [=:] \s* ["']? ) [^\s"',)}&]+
    | [A-Za-z0-9._%+-]+ @ [A-Za-z0-9-]+ (?: \. [A-Za-z0-9-]+ )+               # an e-mail address
    """,
    re.IGNORECASE,
)


def scrubbed(text: str) -> str:
    """The text without what looks like a credential or an address of somebody; names of things stay."""
    return _SECRETS.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    return (match["name"] or match["url"] or match["field"] or "") + _MASK
