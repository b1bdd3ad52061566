"""The whole mesh on one machine: `up` starts it; the other commands let people and programs in, and keep them safe."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from mesh import (
    analytics_command,
    auth_command,
    doctor,
    gen_secrets,
    migrate_command,
    run_service,
    seed_demo,
    service_token,
    settings,
    smoke,
)
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
            case "analytics" if options.task:
                sys.exit(asyncio.run(analytics_command.run(options.task, given=given, folder=folder)))
            case "migrate":
                sys.exit(asyncio.run(migrate_command.run(options.services, given=given)))
            case "seed-demo":
                running = seed_demo.run(
                    days=options.days, again=options.again, given=given, folder=folder, output=sys.stdout
                )
                asyncio.run(running)
            case "doctor":
                looking = doctor.run(given=given, folder=folder, as_json=options.json, output=sys.stdout)
                sys.exit(asyncio.run(looking))
            case "smoke":
                sys.exit(asyncio.run(smoke.run(options.url, _account(options.account, folder), output=sys.stdout)))
            case "gen-secrets":
                sys.stdout.write(gen_secrets.lines())
            case "service-token":
                token = service_token.make(options.name, minutes=options.minutes, given=given, folder=folder)
                sys.stdout.write(f"{token}\n")
            case name:
                run_service.become(name, given=given)
    except LocalError as error:
        sys.exit(f"chatmesh: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chatmesh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything on this machine; Ctrl-C stops it")
    for name in run_service.MODULES:
        alone = commands.add_parser(name, help=f"run {name} by itself, as the environment and .env say")
        if name == "analytics":
            _add_tasks(alone)
    create_admin = commands.add_parser("create-admin", help="make an administrator, or make an account one")
    create_admin.add_argument("email", metavar="EMAIL")
    rotate = commands.add_parser("rotate-keys", help="replace the key that signs access tokens, ahead of its 30 days")
    rotate.add_argument("--at-once", action="store_true", help="the other keys are void now: for one that got out")
    migrate = commands.add_parser("migrate", help="bring the services' tables up to date, before they start")
    migrate.add_argument("services", nargs="*", metavar="SERVICE", help="default: auth, chat, billing and analytics")
    _add_checks(commands)
    demo = commands.add_parser("seed-demo", help="publish a made-up year of events, so that reports show something")
    demo.add_argument("--days", type=int, default=YEAR, help="how many, up to now: 1 to 365, which is the default")
    demo.add_argument("--again", action="store_true", help="add another one although there is one")
    token = commands.add_parser("service-token", help="make a short-lived service token for an internal program")
    token.add_argument("name", metavar="NAME", help="the program's name, for the services' logs")
    token.add_argument("--minutes", type=int, default=10, help="how long it counts: 1 to 60, default 10")
    return parser


def _add_tasks(analytics: argparse.ArgumentParser) -> None:
    analytics.add_argument(
        "task",
        nargs="?",
        choices=("rebuild", "audit", "forget"),
        help="have the service that runs make its views anew; compare them; forget the deleted",
    )


def _add_checks(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    commands.add_parser("gen-secrets", help="write a .env with new secrets: chatmesh gen-secrets > .env")
    looking = commands.add_parser(
        "doctor", help="say what is wrong with engines, settings and services, and what to do"
    )
    looking.add_argument("--json", action="store_true", help="a list of {name, ok, said, todo} for programs")
    trying = commands.add_parser("smoke", help="take a new user's journey through a running mesh, then clean up")
    trying.add_argument("url", metavar="URL", nargs="?", default="http://127.0.0.1:4000", help="default: %(default)s")
    trying.add_argument(
        "--account", metavar="EMAIL", help="a verified account, its password in SMOKE_PASSWORD; else one is made here"
    )


def _account(email: str | None, folder: Path) -> smoke.Account:
    """Choose whom to try it as: the account named, or one made up, whose mail the local catcher keeps."""
    if email is None:
        return smoke.Account.new(folder / "mail")
    if password := os.environ.get("SMOKE_PASSWORD"):
        return smoke.Account(email, password)
    raise LocalError("SMOKE_PASSWORD must hold the password of --account")


if __name__ == "__main__":
    main()
