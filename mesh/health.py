"""`python -m mesh.health [URL]`: exit 0 if a process is well, 1 with the reason if not; for images without curl."""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 3.0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - where one cannot be reached, only listen


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask an http:// URL; without one /readyz of the process that shares this environment, where it listens."""
    url = urlsplit(arguments[0] if arguments else f"http://{_address(environ)}/readyz")
    reached, port = url.hostname or "", url.port or 80
    if reached in _EVERYWHERE:
        reached = "127.0.0.1"
    connection = http.client.HTTPConnection(reached, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", url.path)
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return _unready(f"{reached}:{port}: {error}")
    finally:
        connection.close()
    return 0 if answer.status == http.HTTPStatus.OK else _unready(f"{reached}:{port}: {answer.status} {said}")


def _address(environ: Mapping[str, str]) -> str:
    """ADMIN_LISTEN of a service, EDGE_HOST and EDGE_PORT of the edge."""
    edge = f"{environ.get('EDGE_HOST') or '127.0.0.1'}:{environ.get('EDGE_PORT') or '4000'}"
    return environ.get("ADMIN_LISTEN") or edge


def _unready(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
