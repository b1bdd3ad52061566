"""The OpenAPI document of services that know nothing of this product."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from edge.transcoder.openapi import About, Example
from tests.edge.transcoder.openapi.conftest import ABOUT, Document, Documented, documented_set


@pytest.fixture(scope="session")
def probe(descriptors: bytes) -> Document:
    return documented_set(descriptors, ABOUT)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inside in value.values():
            yield from references(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from references(inside)


def query_of(operation: Document) -> dict[str, Document]:
    return {found["name"]: found["schema"] for found in operation["parameters"] if found.get("in") == "query"}


def test_a_document_of_every_kind_of_binding_and_field_is_valid(probe: Document) -> None:
    validate(probe)

    known = {f"#/components/{kind}/{name}" for kind, made in probe["components"].items() for name in made}
    assert set(references(probe)) <= known


def test_every_binding_has_an_operation_of_its_own_id(probe: Document) -> None:
    ids = [operation["operationId"] for place in probe["paths"].values() for operation in place.values()]

    assert len(ids) == len(set(ids))
    assert {"ProbeService_Query", "ProbeService_Query_2", "ProbeService_Query_3"} <= set(ids)


def test_a_variable_of_several_segments_becomes_a_path_that_a_client_can_fill(probe: Document) -> None:
    (inside,) = probe["paths"]["/v2/messages/{stringValue}"]["get"]["parameters"][:1]
    (rest,) = probe["paths"]["/v2/o/{stringValue}"]["get"]["parameters"][:1]

    assert (inside["name"], inside["in"]) == ("stringValue", "path")
    assert "`messages/*`" in inside["description"]
    assert rest["x-multi-segment"]


def test_paths_that_differ_in_a_name_only_are_one(documented: Documented) -> None:
    made = documented("""
        message A { string a = 1; string b = 2; }
        service S {
          rpc Get(A) returns (A) { option (google.api.http) = {get: "/x/{a}:look"}; }
          rpc Put(A) returns (A) { option (google.api.http) = {put: "/x/{b}:look" body: "*"}; }
        }
    """)

    assert list(made["paths"]) == ["/x/{a}:look"]
    assert made["paths"]["/x/{a}:look"]["put"]["parameters"][0]["name"] == "a"
    body = made["components"]["schemas"]["ABody"]
    assert (body["title"], list(body["properties"])) == ("ABody", ["a"])


def test_query_parameters_are_the_leaves_that_can_be_text(probe: Document) -> None:
    found = query_of(probe["paths"]["/q/named/{stringValue}"]["get"])

    assert {"int32Value", "child.text", "child.tags", "timestamp", "mask", "repeatedBytes", "renamedField"} <= set(
        found
    )
    assert not {"stringValue", "child", "child.child.text", "m", "any", "struct", "jsonValue", "repeatedChild"} & set(
        found
    )
    assert found["repeatedString"] == {"type": "array", "items": {"type": "string"}}
    assert found["int32Wrapper"] == {"type": "integer", "format": "int32"}


def test_fields_have_the_form_that_protojson_gives_them(probe: Document) -> None:
    fields = probe["components"]["schemas"]["Probe"]["properties"]

    assert fields["int64Value"] == {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
    assert fields["bytesValue"] == {"type": "string", "contentEncoding": "base64"}
    assert fields["timestamp"] == {"type": "string", "format": "date-time"}
    assert fields["stringWrapper"] == {"type": ["string", "null"]}
    assert fields["child"] == {"$ref": "#/components/schemas/Child"}
    assert fields["mapInt32Child"]["propertyNames"] == {"pattern": "^-?[0-9]+$"}
    assert fields["nullValue"] == {"type": "null"}
    assert fields["any"]["required"] == ["@type"]
    assert probe["components"]["schemas"]["Color"]["enum"] == ["COLOR_UNSPECIFIED", "RED", "GREEN"]
    assert "`choiceText`, `choiceNumber`, `choiceChild`" in probe["components"]["schemas"]["Probe"]["description"]


def test_what_is_printed_as_null_may_be_null(documented: Documented) -> None:
    text = """
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.MessageOptions { bool asks = 50001; }
        enum Mood { MOOD_UNSPECIFIED = 0; GOOD = 1; }
        message Figures {
          option (asks) = true;
          // By those who voted.
          optional double mean = 1;
          optional Mood mood = 2;
          optional google.protobuf.Timestamp since = 3;
          optional google.protobuf.DoubleValue wrapped = 4;
          optional google.protobuf.Value free = 5;
          int32 count = 6;
        }
        message Plain { optional double mean = 1; }
        message Both { Figures figures = 1; Plain plain = 2; }
        service S { rpc Get(Both) returns (Both) { option (google.api.http) = {get: "/x"}; } }
    """
    schemas = documented(text, About("Tests", "1", nulls="t.asks"))["components"]["schemas"]

    assert schemas["Figures"]["properties"] == {
        "mean": {"type": ["number", "null"], "format": "double", "description": "By those who voted."},
        "mood": {"anyOf": [{"$ref": "#/components/schemas/Mood"}, {"type": "null"}]},
        "since": {"type": ["string", "null"], "format": "date-time"},
        "wrapped": {"type": ["number", "null"], "format": "double"},
        "free": {"description": "Any JSON value."},
        "count": {"type": "integer", "format": "int32"},
    }
    assert schemas["Plain"]["properties"] == {"mean": {"type": "number", "format": "double"}}
    assert schemas["Both"]["properties"]["figures"] == {"$ref": "#/components/schemas/Figures"}


def test_only_what_no_answer_holds_is_closed(documented: Documented) -> None:
    made = documented("""
        message Ask { string id = 1; Both both = 2; }
        message Answer { Both both = 1; }
        message Both { int32 n = 1; }
        service S { rpc Do(Ask) returns (Answer) { option (google.api.http) = {post: "/a/{id}" body: "*"}; } }
    """)
    schemas = made["components"]["schemas"]

    assert schemas["AskBody"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Answer"]
    assert "additionalProperties" not in schemas["Both"]


def test_bodies_and_bare_replies_have_the_schema_of_their_field(probe: Document) -> None:
    body = probe["paths"]["/b/list"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    reply = probe["paths"]["/r/int64"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]

    assert body == {"type": "array", "items": {"type": "integer", "format": "int32"}}
    assert reply["format"] == "int64"
    assert list(probe["paths"]["/mirror"]["post"]["requestBody"]["content"]) == ["*/*", "multipart/form-data"]
    assert "requestBody" not in probe["paths"]["/b/none/{stringValue}"]["post"]


def test_files_can_be_sent_as_a_form(probe: Document) -> None:
    content = probe["paths"]["/files/{name}"]["put"]["requestBody"]["content"]

    form = content["multipart/form-data"]["schema"]["properties"]
    assert form["content"]["contentMediaType"] == "application/octet-stream"
    assert "multipart/form-data" not in probe["paths"]["/b/text"]["put"]["requestBody"]["content"]


def test_a_unary_and_a_streaming_rpc_on_one_route_are_one_operation(probe: Document) -> None:
    operation = probe["paths"]["/s/chat"]["post"]
    content = operation["responses"]["200"]["content"]

    assert operation["x-rpc"] == ["probe.v1.StreamService.Total", "probe.v1.StreamService.StreamTotal"]
    assert list(content) == ["application/json", "text/event-stream", "application/x-ndjson"]
    assert content["application/json"]["schema"] == content["text/event-stream"]["x-itemSchema"]


def test_what_goes_over_a_websocket_only_says_so(documented: Documented) -> None:
    made = documented("""
        message In { string a = 1; }
        message Out { string b = 1; }
        service S {
          rpc Talk(stream In) returns (stream Out) { option (google.api.http) = {get: "/talk"}; }
          rpc Sum(stream In) returns (Out) { option (google.api.http) = {post: "/sum" body: "*"}; }
        }
    """)
    talk, total = made["paths"]["/talk"]["get"], made["paths"]["/sum"]["post"]

    validate(made)
    assert {"101", "426"} <= set(talk["responses"])
    assert "200" not in talk["responses"]
    assert talk["x-websocket"] == {
        "send": {"$ref": "#/components/schemas/In"},
        "receive": {"$ref": "#/components/schemas/Out"},
    }
    assert list(total["requestBody"]["content"]) == ["application/x-ndjson"]
    assert list(total["responses"]["200"]["content"]) == ["application/json"]


def test_a_stream_alone_is_also_an_array(probe: Document) -> None:
    content = probe["paths"]["/s/count"]["get"]["responses"]["200"]["content"]

    assert content["application/json"]["schema"]["type"] == "array"


def test_comments_become_the_text_and_their_errors_responses(documented: Documented) -> None:
    made = documented("""
        // Library lends books.
        service Library {
          // GetBook answers a book. It may be old.
          //
          // 203: the book, or a copy.
          // NOT_FOUND: no such book,
          // or it burnt.
          // FAILED_PRECONDITION: it is lent (reason LENT).
          rpc GetBook(Book) returns (Book) {
            option deprecated = true;
            option (google.api.http) = {get: "/books/{book_id}"};
          }
        }
        // A book.
        message Book {
          // As on its back; see `page_count`.
          string book_id = 1;
          int32 page_count = 2; // With the cover.
        }
    """)
    operation = made["paths"]["/books/{bookId}"]["get"]

    assert made["tags"] == [{"name": "Library", "description": "Lends books."}]
    assert (operation["summary"], operation["deprecated"]) == ("Answers a book", True)
    assert operation["description"] == "Answers a book.\n\nIt may be old."
    assert operation["responses"]["203"]["description"] == "The book, or a copy."
    assert "200" not in operation["responses"]
    assert operation["responses"]["404"]["description"] == "No such book, or it burnt."
    assert operation["responses"]["400"]["description"].startswith("It is lent (reason LENT).\n\nOr: the request")
    assert list(operation["responses"]["404"]["content"]) == ["application/problem+json"]
    example = operation["responses"]["400"]["content"]["application/problem+json"]["example"]
    assert (example["status"], example["code"]) == (400, "lent")
    assert operation["parameters"][0]["description"] == "As on its back; see `pageCount`."
    assert operation["parameters"][1]["description"] == "With the cover."


def test_methods_that_openapi_does_not_know_are_kept_beside(documented: Documented) -> None:
    made = documented("""
        message A {}
        service S {
          rpc Find(A) returns (A) { option (google.api.http) = {custom: {kind: "FIND" path: "/a"}}; }
          rpc Any(A) returns (A) { option (google.api.http) = {custom: {kind: "*" path: "/b"}}; }
        }
    """)

    validate(made)
    assert list(made["paths"]["/a"]["x-additionalOperations"]) == ["FIND"]
    assert {"get", "put", "post", "delete", "patch"} == set(made["paths"]["/b"])


def test_messages_of_one_name_go_by_their_full_names(documented: Documented) -> None:
    made = documented("""
        message Problem { string why = 1; }
        message A { message Part { int32 n = 1; } Part part = 1; Problem problem = 2; B b = 3; }
        message B { message Part { string s = 1; } Part part = 1; }
        service S { rpc Do(A) returns (A) { option (google.api.http) = {post: "/a" body: "*"}; } }
    """)

    schemas = made["components"]["schemas"]
    assert {"A", "B", "t.A.Part", "t.B.Part", "t.Problem", "Problem"} <= set(schemas)
    assert all(schema["title"] == name for name, schema in schemas.items())


def test_the_application_adds_what_the_descriptors_do_not_say(documented: Documented) -> None:
    about = About(
        "Tests",
        "1",
        paths={"/health": {"get": {"responses": {"200": {"description": "Well."}}}}},
        components={"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        amend=lambda _route: {"security": [{"bearer": []}], "responses": {"429": {"description": "Too many."}}},
        examples={"t.S.Do": Example({"n": 1}, events=[{"n": 2}, {"n": 3}])},
    )
    made = documented(
        """
        message A { int32 n = 1; }
        service S { rpc Do(A) returns (stream A) { option (google.api.http) = {post: "/a" body: "*"}; } }
        """,
        about,
    )
    operation = made["paths"]["/a"]["post"]
    content = operation["responses"]["200"]["content"]

    validate(made)
    assert list(made["paths"]) == ["/a", "/health"]
    assert operation["security"] == [{"bearer": []}]
    assert list(operation["responses"]) == ["200", "400", "406", "415", "429", "5XX"]
    assert operation["requestBody"]["content"]["application/json"]["example"] == {"n": 1}
    assert content["text/event-stream"]["example"] == 'data: {"n":2}\n\ndata: {"n":3}\n\n'
    assert content["application/json"]["example"] == [{"n": 2}, {"n": 3}]


def test_descriptors_without_comments_and_rules_are_enough(descriptors: bytes) -> None:
    made = documented_set(descriptors, ABOUT)

    assert made["paths"]["/r/nothing"]["get"]["description"] == "Calls `probe.v1.ProbeService.Nothing`."
