"""The page at `/docs`: every route with what its RPC's comment says, made from the descriptors at start-up."""

from collections.abc import Iterable, Iterator
from html import escape
from importlib import resources
from string import Template

from chatmesh.access.v1 import access_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto

from edge.transcoder import Route

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_SERVICE, _METHOD = 6, 2  # field numbers in FileDescriptorProto and ServiceDescriptorProto, as comments' paths use them


def page(descriptors: bytes, routes: Iterable[Route]) -> str:
    """The whole page. `descriptors` is a FileDescriptorSet with source info, `routes` what the transcoder serves."""
    by_rpc: dict[str, list[Route]] = {}
    for route in routes:
        by_rpc.setdefault(route.rpc, []).append(route)
    files = FileDescriptorSet.FromString(descriptors).file
    sections = [_section(file, index, service, by_rpc) for file in files for index, service in enumerate(file.service)]
    template = (resources.files("edge") / "docs.html").read_text(encoding="utf-8")
    return Template(template).substitute(sections="".join(sections))


def _section(
    file: FileDescriptorProto, index: int, service: ServiceDescriptorProto, by_rpc: dict[str, list[Route]]
) -> str:
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    parts = [f"<h2>{escape(service.name)}</h2><p>{_prose(comments.get((_SERVICE, index), ''))}</p>"]
    for number, method in enumerate(service.method):
        level = access_pb2.Level.Name(method.options.Extensions[access_pb2.level]).removeprefix("LEVEL_").lower()
        comment = comments.get((_SERVICE, index, _METHOD, number), "")
        if routes := by_rpc.get(f"{file.package}.{service.name}.{method.name}"):
            parts.append("".join(_entry(routes, comment, level)))
    return "".join(parts)


def _entry(routes: list[Route], comment: str, level: str) -> Iterator[str]:
    first, *others = routes
    what, _, more = comment.strip().partition("\n\n")
    yield f"<details><summary><code><span class=verb>{first.http_method}</span>{escape(first.template.text)}</code> "
    yield f"<span class=level>{level}</span><p>{_prose(what)}</p></summary><pre>{escape(more)}</pre>"
    if others:
        yield f"<p class=more>also {', '.join(f'<code>{escape(other.template.text)}</code>' for other in others)}</p>"
    yield "</details>"


def _prose(comment: str) -> str:
    return escape(" ".join(comment.split()))
