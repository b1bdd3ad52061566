"""The command line of `python -m edge.transcoder`."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edge.transcoder.escapes import Unescape
from edge.transcoder.forwarding import HEADERS, Forwarding

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_MEBIBYTE = 1 << 20

_ABOUT = """\
Serve the google.api.http annotations of any plaintext gRPC server as REST and JSON, without generated code.
The annotations come from a descriptor set or from the server's own reflection, and are all checked before the start."""

# The request's id is passed on too, by whoever serves.
USUAL_HEADERS = ("Authorization", *(name for name in HEADERS if name != "X-Request-Id"))

_EPILOG = f"""\
headers that are passed on as metadata:
  X-Request-Id, {", ".join(USUAL_HEADERS)}
  Grpc-Timeout and X-Request-Timeout set the deadline of the RPC, up to --timeout

make a descriptor set:
  protoc --include_imports --include_source_info --descriptor_set_out=api.binpb your/api.proto
  buf build -o api.binpb

exit status:
  0  stopped by SIGINT or SIGTERM; what is being answered then has --grace seconds to end
  1  it could not start: an annotation, the descriptors, the upstream's reflection or the port; stderr says why
  2  a flag is wrong"""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; an IPv6 host is without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What the command line says: `descriptor_set` is None for reflection, `timeout` and `grace` are seconds.

    `services` are full names; empty for all there are. `headers` are passed on besides the usual ones.
    """

    descriptor_set: Path | None
    upstream: Address
    listen: Address
    services: tuple[str, ...]
    unescape: Unescape
    ignore_unknown: bool
    emit_defaults: bool
    timeout: float | None
    max_body_bytes: int
    headers: tuple[str, ...]
    openapi: bool
    grace: float
    access_log: bool
    verbose: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one line, not with the whole usage before it."""
        sys.stderr.write(f"{self.prog}: {message}; --help explains the flags\n")
        sys.exit(2)


def read(words: Sequence[str]) -> Arguments:
    """Read the words of a command line; ends the process with status 2 for a wrong one, with 0 after --help."""
    found = _parser().parse_args(words)
    return Arguments(
        descriptor_set=found.descriptor_set,
        upstream=found.upstream,
        listen=found.listen,
        services=tuple(found.service),
        unescape=found.unescape,
        ignore_unknown=found.ignore_unknown,
        emit_defaults=found.emit_defaults,
        timeout=found.timeout or None,
        max_body_bytes=found.max_body_bytes,
        headers=tuple(found.allow_header),
        openapi=found.openapi,
        grace=found.grace,
        access_log=found.access_log,
        verbose=found.verbose,
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m edge.transcoder",
        description=_ABOUT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _what_and_where(parser.add_argument_group("what to serve, and where"))
    _requests_and_answers(parser.add_argument_group("how requests are read and answered"))
    _what_to_say(parser.add_argument_group("what it says"))
    return parser


def _what_and_where(group: argparse._ArgumentGroup) -> None:
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--descriptor-set", type=Path, metavar="FILE", help="a serialized FileDescriptorSet with its imports"
    )
    source.add_argument(
        "--reflection", action="store_true", help="ask the upstream for its descriptors, once, at the start"
    )
    group.add_argument(
        "--upstream",
        type=_address,
        required=True,
        metavar="HOST:PORT",
        help="the gRPC server; it is spoken to without TLS",
    )
    group.add_argument(
        "--listen",
        type=_address,
        default=Address("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="where to serve HTTP (127.0.0.1:8080); port 0 takes a free one and prints it",
    )
    group.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME",
        help="serve only this service, such as library.v1.LibraryService; repeatable",
    )


def _requests_and_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--unescape",
        type=Unescape,
        choices=list(Unescape),
        default=Unescape.ALL_EXCEPT_SLASH,
        metavar="|".join(Unescape),
        help="which escapes in a path variable of several segments are decoded (all_except_slash)",
    )
    group.add_argument(
        "--ignore-unknown", action="store_true", help="drop unknown fields and parameters instead of refusing them"
    )
    group.add_argument("--emit-defaults", action="store_true", help="print fields that hold their default value")
    group.add_argument(
        "--timeout",
        type=_number(float, least=0),
        default=0.0,
        metavar="SECONDS",
        help="the deadline of an RPC, and the most that a client may ask for; 0, the default, sets none",
    )
    group.add_argument(
        "--max-body-bytes",
        type=_number(int, least=1),
        default=10 * _MEBIBYTE,
        metavar="N",
        help="the longest request body (10485760)",
    )
    group.add_argument(
        "--allow-header",
        type=_header,
        action="append",
        default=[],
        metavar="NAME",
        help="pass this request header on as metadata, besides those listed below; repeatable",
    )
    group.add_argument(
        "--no-openapi",
        dest="openapi",
        action="store_false",
        help="do not serve the OpenAPI 3.1 document at /openapi.json",
    )


def _what_to_say(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--verbose", action="store_true", help="print the table of routes at the start")
    group.add_argument(
        "--access-log",
        action="store_true",
        help="write one line of JSON for each request to stderr; paths go without their query",
    )
    group.add_argument(
        "--grace",
        type=_number(float, least=0),
        default=10.0,
        metavar="SECONDS",
        help="how long what is being answered may go on when it is stopped (10)",
    )


def _address(text: str) -> Address:
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(found["host"].strip("[]"), int(found["port"]))


def _header(text: str) -> str:
    try:
        Forwarding([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _number(kind: type[int] | type[float], *, least: int) -> Callable[[str], int | float]:
    def number(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not least <= value < 2**53:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} on")
        return value

    return number
