"""What the edge asks of every request and adds to every answer; each rule has a file of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge.addresses import ClientAddresses
from edge.cors import Cors
from edge.cross_site import CrossSite
from edge.security_headers import security_headers
from edge.settings import EdgeSettings


@dataclass(frozen=True, slots=True)
class Policies:
    """The rules of one edge. `headers` are on every answer."""

    addresses: ClientAddresses
    cors: Cors
    cross_site: CrossSite
    headers: Mapping[str, str]


def policies_of(settings: EdgeSettings) -> Policies:
    """The rules as the settings want them."""
    return Policies(
        addresses=ClientAddresses(settings.trusted_proxies),
        cors=Cors(settings.cors_origins),
        cross_site=CrossSite(own=settings.own_origin, allowed=settings.cors_origins),
        # A `Server` that names no versions.
        headers=security_headers(https=settings.public_url.scheme == "https") | {"Server": "chatmesh"},
    )
