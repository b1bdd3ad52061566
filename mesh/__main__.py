"""The whole mesh on one machine: `up` starts it; the other commands let people and programs in, and keep them safe."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from mesh import analytics_command, auth_command, migrate_command, seed_demo, service_token, settings
from mesh.demo import YEAR
from mesh.processes import CREATE_ADMIN, ROTATE_KEYS
from mesh.up import up
from svckit.local import LocalError


def main() -> None:
    """Run the command; exit code 1 with one clear message when something on this machine is in the way."""
    options = _parser().parse_args()
    given = settings.given(os.environ, folder=Path.cwd())
    folder = Path(given.get("CHATMESH_HOME") or ".chatmesh")
    try:
        match options.command:
            case "up":
                asyncio.run(up(given, folder=folder, output=sys.stdout))
            case "create-admin":
                sys.exit(asyncio.run(auth_command.run(CREATE_ADMIN, options.email, given=given, folder=folder)))
            case "rotate-keys":
                at_once = ["--at-once"] if options.at_once else []
                sys.exit(asyncio.run(auth_command.run(ROTATE_KEYS, *at_once, given=given, folder=folder)))
            case "analytics":
                sys.exit(asyncio.run(analytics_command.run(options.task, given=given, folder=folder)))
            case "migrate":
                sys.exit(asyncio.run(migrate_command.run(options.services, given=given)))
            case "seed-demo":
                running = seed_demo.run(
                    days=options.days, again=options.again, given=given, folder=folder, output=sys.stdout
                )
                asyncio.run(running)
            case "service-token":
                token = service_token.make(options.name, minutes=options.minutes, given=given, folder=folder)
                sys.stdout.write(f"{token}\n")
    except LocalError as error:
        sys.exit(f"chatmesh: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chatmesh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything on this machine; Ctrl-C stops it")
    create_admin = commands.add_parser("create-admin", help="make an administrator, or make an account one")
    create_admin.add_argument("email", metavar="EMAIL")
    rotate = commands.add_parser("rotate-keys", help="replace the key that signs access tokens, ahead of its 30 days")
    rotate.add_argument("--at-once", action="store_true", help="the other keys are void now: for one that got out")
    analytics = commands.add_parser("analytics", help="have the analytics service look after its tables")
    analytics.add_argument(
        "task", choices=("rebuild", "audit", "forget"), help="make the views anew; compare them; forget the deleted"
    )
    migrate = commands.add_parser("migrate", help="bring the services' tables up to date, before they start")
    migrate.add_argument("services", nargs="*", metavar="SERVICE", help="default: auth, chat, billing and analytics")
    demo = commands.add_parser("seed-demo", help="publish a made-up year of events, so that reports show something")
    demo.add_argument("--days", type=int, default=YEAR, help="how many, up to now: 1 to 365, which is the default")
    demo.add_argument("--again", action="store_true", help="add another one although there is one")
    token = commands.add_parser("service-token", help="make a short-lived service token for an internal program")
    token.add_argument("name", metavar="NAME", help="the program's name, for the services' logs")
    token.add_argument("--minutes", type=int, default=10, help="how long it counts: 1 to 60, default 10")
    return parser


if __name__ == "__main__":
    main()
