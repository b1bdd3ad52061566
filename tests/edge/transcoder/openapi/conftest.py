"""Documents of small services that tests write down as .proto text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.transcoder import GrpcUpstream, Transcoder
from edge.transcoder.openapi import About, document
from tools import generate

HEADER = """syntax = "proto3";
package t;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
"""
ABOUT = About("Tests", "1")

Document = dict[str, Any]
Documented = Callable[..., Document]


def documented_set(descriptors: bytes, about: About) -> Document:
    routes = Transcoder(descriptors, GrpcUpstream({})).routes
    made: Document = json.loads(document(descriptors, routes, about))
    return made


@pytest.fixture
def documented(tmp_path: Path) -> Documented:
    """Compile the text of a .proto file, without its header, and answer its document."""

    def make(text: str, about: About = ABOUT) -> Document:
        protos = tmp_path / "protos"
        protos.mkdir(exist_ok=True)
        (protos / "t.proto").write_text(HEADER + text)
        generate.write_image(protos, tmp_path / "set.binpb")
        return documented_set((tmp_path / "set.binpb").read_bytes(), about)

    return make


@pytest.fixture
def field_of(documented: Documented) -> Callable[[str], Document]:
    """The schema of the one field, named `f`, that a message has."""

    def make(declaration: str) -> Document:
        made = documented(f"""
            enum Colour {{ COLOUR_UNSPECIFIED = 0; RED = 1; GREEN = 2; }}
            message M {{ {declaration} }}
            service S {{ rpc Do(M) returns (M) {{ option (google.api.http) = {{post: "/m" body: "*"}}; }} }}
        """)
        message = made["components"]["schemas"]["M"]
        schema: Document = message["properties"]["f"]
        return {**schema, "required": "f" in message.get("required", [])}

    return make
