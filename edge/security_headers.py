"""The headers that tell browsers what they must not do with an answer: those that Helmet sets, as an API needs them."""

_HEADERS = {
    # Nothing in an answer may be run, loaded or framed; a page that needs more says so itself.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Download-Options": "noopen",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",  # the filter of old browsers could be made to leak
}
_HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def security_headers(*, https: bool) -> dict[str, str]:
    """What every answer carries. `https`: whether people reach the product that way, and shall not be led off it."""
    return _HEADERS | _HSTS if https else dict(_HEADERS)
