"""Mutual TLS between the processes of the mesh: each shows a certificate, and believes those of one authority.

The files may be replaced at any time, as cert-manager does: servers take the new ones at the next handshake, channels
within seconds. https://grpc.io/docs/guides/auth/
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tls:
    """Where a process's own certificate and key are, and the certificates of the authority, all as PEM."""

    certificate: Path
    key: Path
    authority: Path

    def stamp(self) -> tuple[int, ...]:
        """Another value when a file was replaced; raises OSError while one is missing."""
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key, self.authority))

    def of_server(self) -> grpc.ServerCredentials:
        """Credentials of a server that refuses whoever shows no certificate of the authority; raises OSError."""
        known = self.stamp()

        def renewed() -> Any:  # a configuration, or None for no change, which its types do not know
            nonlocal known
            try:
                if (found := self.stamp()) == known:
                    return None
                configuration = self._configuration()
            except OSError as error:  # being replaced: the next handshake looks again
                log.warning("certificate unreadable", error=str(error))
                return None
            known = found
            return configuration

        return grpc.dynamic_ssl_server_credentials(self._configuration(), renewed, require_client_authentication=True)

    def of_channel(self) -> grpc.ChannelCredentials:
        """Credentials of a channel, as the files are now; raises OSError."""
        return grpc.ssl_channel_credentials(
            self.authority.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        own = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([own], root_certificates=self.authority.read_bytes())
