"""The parts of a multipart/form-data body (RFC 7578), as python-multipart reads them."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from edge.transcoder.problems import FieldError, Problem, Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 128
# What is wrong with a form is said to its sender; the parser would write it to the log as well.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Part:
    """One part. A file is a part that says a file name, be it an empty one."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    name: str = ""
    is_file: bool = False

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def content_type(self) -> str:
        """As the part says it; empty if it does not."""
        return self.header(b"content-type").decode(errors="replace")

    def header(self, name: bytes) -> bytes:
        return next((value for found, value in self.headers if found.lower() == name), b"")

    @property
    def text(self) -> str:
        """The part as text; raises Refused for anything but UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise refused(self.name, "must be text in UTF-8") from None


def parts_of(body: bytes, content_type: str) -> list[Part]:
    """Read a form; raises Refused for one that is malformed, or not complete."""
    boundary = parse_options_header(content_type.encode(errors="replace"))[1].get(b"boundary", b"")
    if not boundary:
        raise malformed("its Content-Type names no boundary")
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
    except FormParserError as error:
        raise malformed(str(error)) from None
    if not reader.complete:
        raise malformed("it ends before its last boundary")
    return reader.parts


def malformed(reason: str) -> Refused:
    return Refused(Problem(400, "malformed_form", f"The form cannot be read: {reason}."))


def refused(name: str, detail: str) -> Refused:
    """The refusal of one part."""
    error = FieldError(name, detail, "invalid_part")
    return Refused(Problem(400, "invalid_argument", f"{name}: {detail}.", [error]))


class _Reader:
    """Collects what the parser calls out; names come in pieces."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.complete = False
        self._name = b""
        self._value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == _MOST_PARTS:
            raise malformed(f"it has more than {_MOST_PARTS} parts")
        self.parts.append(Part())

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self.parts[-1].headers.append((self._name, self._value))
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        part = self.parts[-1]
        disposition, parameters = parse_options_header(part.header(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in parameters:
            raise malformed("a part has no Content-Disposition: form-data with a name")
        part.name = parameters[b"name"].decode(errors="replace")
        part.is_file = b"filename" in parameters

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].chunks.append(data[start:end])

    def _end(self) -> None:
        self.complete = True
