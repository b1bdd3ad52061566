"""Services of other people, served as they are: by a descriptor set and by reflection."""

import json

import pytest

from tests.edge.transcoder.standalone.program import Program


async def test_a_bookstore_is_served_with_numbers_in_its_paths(bookstore: Program) -> None:
    shelf = await bookstore.json("POST", "/shelf", {"theme": "Novels"})
    book = await bookstore.json("POST", f"/shelves/{shelf['id']}/books", {"title": "Emma", "author": "Austen"})

    assert shelf == {"id": "1", "theme": "Novels"}
    assert book == {"id": "1", "title": "Emma", "author": "Austen"}
    assert await bookstore.json("GET", "/shelves/1") == shelf
    assert await bookstore.json("GET", "/shelves/1/books") == [book]
    lines = await bookstore("GET", "/shelves/1/books", accept="application/x-ndjson")
    assert json.loads(lines.text) == book
    assert (await bookstore.json("GET", "/shelves"))["shelves"] == [shelf]


async def test_a_bookstore_deletes_and_then_does_not_find(bookstore: Program) -> None:
    shelf = await bookstore.json("POST", "/shelf", {"theme": "Plays", "id": "77"})

    deleted = await bookstore("DELETE", f"/shelves/{shelf['id']}")
    again = await bookstore("DELETE", f"/shelves/{shelf['id']}")

    assert (deleted.status, deleted.text) == (200, "{}")
    assert (again.status, json.loads(again.body)["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("GET", "/shelves/one", None, 400, "shelf"),
        ("GET", "/shelves/9223372036854775808", None, 400, "shelf"),
        ("GET", "/shelves?nope=1", None, 400, "nope"),
        ("POST", "/shelf", {"nope": 1}, 400, "nope"),
        ("GET", "/nothing", None, 404, "no such path"),
        ("PUT", "/shelves", None, 405, "GET, HEAD, OPTIONS"),
        ("GET", "/shelves/99/books", None, 404, "There is no 99"),
    ],
)
async def test_a_wrong_request_is_a_problem_document(
    bookstore: Program, method: str, path: str, body: object, status: int, word: str
) -> None:
    answer = await bookstore(method, path, body)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert word in answer.text


async def test_a_library_is_served_by_resource_names(library: Program) -> None:
    shelf = await library.json("POST", "/v1/shelves", {"name": "shelves/a"})
    book = await library.json("POST", "/v1/shelves/a/books", {"name": "shelves/a/books/emma", "title": "Emma"})

    assert shelf == {"name": "shelves/a"}
    assert await library.json("GET", "/v1/shelves/a/books/emma") == book
    assert await library.json("GET", "/v1/shelves/a/books?filter=mm") == {"books": [book]}
    assert await library.json("GET", "/v1/shelves/a/books?filter=zz") == {}


async def test_a_library_pages(library: Program) -> None:
    await library("POST", "/v1/shelves", {"name": "shelves/pages"})
    for number in range(3):
        await library("POST", "/v1/shelves/pages/books", {"title": str(number)})

    first = await library.json("GET", "/v1/shelves/pages/books?page_size=2")
    rest = await library.json("GET", f"/v1/shelves/pages/books?pageSize=2&pageToken={first['nextPageToken']}")

    assert [book["title"] for book in first["books"] + rest["books"]] == ["0", "1", "2"]
    assert "nextPageToken" not in rest


async def test_a_library_patches_by_mask(library: Program) -> None:
    await library("POST", "/v1/shelves", {"name": "shelves/p"})
    await library("POST", "/v1/shelves/p/books", {"name": "shelves/p/books/1", "title": "a", "author": "b"})

    patched = await library.json(
        "PATCH", "/v1/shelves/p/books/1?update_mask=author,read", {"author": "c", "title": "x"}
    )

    assert patched == {"name": "shelves/p/books/1", "title": "a", "author": "c"}


async def test_a_library_has_verbs_of_its_own(library: Program) -> None:
    for name in ("from", "to"):
        await library("POST", "/v1/shelves", {"name": f"shelves/{name}"})
    await library("POST", "/v1/shelves/from/books", {"name": "shelves/from/books/1"})
    await library("POST", "/v1/shelves/from/books", {"name": "shelves/from/books/2"})

    moved = await library.json("POST", "/v1/shelves/from/books/1:move", {"otherShelfName": "shelves/to"})
    merged = await library.json("POST", "/v1/shelves/to:merge", {"other_shelf": "shelves/from"})

    assert (moved, merged) == ({"name": "shelves/to/books/1"}, {"name": "shelves/to"})
    assert len((await library.json("GET", "/v1/shelves/to/books"))["books"]) == 2
    assert (await library("GET", "/v1/shelves/to/books/1:move")).status == 405
    assert (await library("POST", "/v1/shelves/to/books/1%3Amove", {})).status == 405


async def test_an_object_store_takes_and_gives_contents_as_they_are(storage: Program) -> None:
    content = bytes(range(256))

    put = await storage.json("PUT", "/v1/buckets/b/objects/a/b/c.bin", content, content_type="image/x-thing")
    got = await storage("GET", "/v1/buckets/b/objects/a/b/c.bin")

    assert put == {"name": "buckets/b/objects/a/b/c.bin", "size": "256"}
    assert (got.headers["Content-Type"], got.body) == ("image/x-thing", content)


async def test_an_object_store_composes_and_lists(storage: Program) -> None:
    for name in ("x%2Fy", "x/y"):
        await storage("PUT", f"/v1/buckets/c/objects/{name}", name.encode(), content_type="text/plain")

    sources = ["buckets/c/objects/x%2Fy", "buckets/c/objects/x/y"]
    whole = await storage.json("POST", "/v1/buckets/c/objects/all:compose", {"sources": sources})
    listed = await storage.json("GET", "/v1/buckets/c/objects?prefix=x")

    assert whole == {"name": "buckets/c/objects/all", "size": "8"}
    assert [thing["name"] for thing in listed["objects"]] == sources
    assert (await storage("GET", "/v1/buckets/c/objects/all")).text == "x%2Fyx/y"
