"""The whole mesh on one machine: `chatmesh up` starts it, `chatmesh create-admin` makes an administrator."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from mesh import administrator, settings
from mesh.up import up
from svckit.local import LocalError


def main() -> None:
    """Run the command; exit code 1 with one clear message when something on this machine is in the way."""
    options = _parser().parse_args()
    given = settings.given(os.environ, folder=Path.cwd())
    folder = Path(given.get("CHATMESH_HOME") or ".chatmesh")
    try:
        if options.command == "up":
            asyncio.run(up(given, folder=folder, output=sys.stdout))
        else:
            sys.exit(asyncio.run(administrator.create(options.email, given=given, folder=folder)))
    except LocalError as error:
        sys.exit(f"chatmesh: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chatmesh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything on this machine; Ctrl-C stops it")
    create_admin = commands.add_parser("create-admin", help="make an administrator, or make an account one")
    create_admin.add_argument("email", metavar="EMAIL")
    return parser


if __name__ == "__main__":
    main()
