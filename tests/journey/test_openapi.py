"""Schemathesis holds the running mesh against its OpenAPI document: requests made from it, answers checked by it."""

import json
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.filters import HasAPIOperation
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from edge.app import SERVICES
from edge.openapi import api_document, examples
from edge.pages import descriptors
from edge.transcoder import GrpcUpstream, Transcoder
from svckit.rpc.call import rpcs_of
from tests.journey.running import Mesh
from tests.journey.test_rest import PASSWORD, browser, get, post, token_in

AnyCase: TypeAlias = Case[Any]

_UNSERVED = frozenset((Path(__file__).parent.parent / "unserved_rpcs.txt").read_text().split())
_GENERATES = "ChatService_SendMessage"
_ANSWERED = examples()["chatmesh.chat.v1.ChatService.SendMessage"].request
_BOUNDED = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # a failure is one request: there is nothing to shrink
)


@cache
def document() -> dict[str, Any]:
    """What the edge serves at `/openapi.json`, which tests of the edge hold against its routes."""
    found = descriptors()
    rpcs = {f"/{rpc.name}": rpc for service in SERVICES.values() for rpc in rpcs_of(service)}
    made: dict[str, Any] = json.loads(api_document(found, Transcoder(found, GrpcUpstream({})).routes, rpcs))
    return made


def is_unserved(context: HasAPIOperation) -> bool:
    return not _UNSERVED.isdisjoint(context.operation.definition.raw.get("x-rpc", ()))


def requests(*modes: GenerationMode, most: int) -> BaseSchema:
    """Requests of these modes, the same in every run: boundary values first, then so many random ones.

    Without the RPCs that answer 501, and without second paths, which differ from the first in nothing but the path.
    """
    schema = schemathesis.openapi.from_dict(document())
    schema.config.seed = 1
    schema.config.generation.update(
        modes=list(modes),
        max_examples=most,
        deterministic=True,
        with_security_parameters=False,  # a made-up cookie beside a good token says nothing
    )
    return schema.exclude(is_unserved).exclude(operation_id_regex="_[0-9]+$")


# A request may obey its schema and be refused: a plan that is not sold, a time zone that there is not.
_NOT_PROMISED: list[CheckFunction] = [positive_data_acceptance]


def unpromised(case: AnyCase) -> list[CheckFunction]:
    """The checks of what the API does not promise about this request."""
    # ProtoJSON reads null as "not given", for a field of any type, and a number as the enum's value of that number.
    return [*_NOT_PROMISED, negative_data_rejection] if is_read_liberally(case.body) else _NOT_PROMISED


def is_read_liberally(value: object, *, field: str = "") -> bool:
    """Whether there is a null in it, or a number for an enum."""
    if isinstance(value, dict):
        return any(is_read_liberally(each, field=name) for name, each in value.items())
    if isinstance(value, list):
        return any(is_read_liberally(each, field=field) for each in value)
    return value is None or (field in enum_fields() and isinstance(value, int) and not isinstance(value, bool))


@cache
def enum_fields() -> frozenset[str]:
    """The names of the fields, of whatever message, whose type is an enum."""
    schemas = document()["components"]["schemas"]
    enums = {f"#/components/schemas/{name}" for name, schema in schemas.items() if "enum" in schema}
    fields = [field for schema in schemas.values() for field in schema.get("properties", {}).items()]
    return frozenset(
        name for name, schema in fields if enums & {schema.get("$ref"), schema.get("items", {}).get("$ref")}
    )


@pytest.fixture(scope="module")
async def administrator(mesh: Mesh) -> Mapping[str, str]:
    """The headers of an administrator of these tests' own, whom wrong passwords may lock out."""
    email = f"{uuid.uuid4().hex}@example.com"
    async with await browser(mesh) as http, await browser(mesh) as other:
        await post(http, "/api/auth/signup", email=email, password=PASSWORD)
        verified = await post(http, "/api/auth/verify-email", token=token_in(await mesh.mail_to(email)))
        address, password = mesh.administrator
        await post(other, "/api/auth/signin", email=address, password=password)
        async with other.patch(f"/api/auth/users/{verified['user']['id']}", json={"role": "ROLE_ADMIN"}):
            pass
        tokens = (await post(http, "/api/auth/signin", email=email, password=PASSWORD))["tokens"]
        assert (await get(http, "/api/auth/me"))["user"]["role"] == "ROLE_ADMIN"
    return {"Authorization": f"Bearer {tokens['accessToken']}"}


# Signing out would end the session of all that follow. Generations cost seconds each: see the next test.
everything = requests(GenerationMode.POSITIVE, GenerationMode.NEGATIVE, most=3).exclude(
    operation_id=["AuthService_SignOut", _GENERATES]
)
wrong = requests(GenerationMode.NEGATIVE, most=10).include(operation_id=_GENERATES)
anonymous = requests(GenerationMode.POSITIVE, most=1).exclude(operation_id=_GENERATES)
anonymous.config.phases.coverage.enabled = False


@everything.parametrize()
@_BOUNDED
def test_an_administrator_is_answered_as_documented(
    case: AnyCase, mesh: Mesh, administrator: Mapping[str, str]
) -> None:
    case.call_and_validate(base_url=mesh.url, headers=dict(administrator), excluded_checks=unpromised(case))


@wrong.parametrize()
@_BOUNDED
def test_a_message_that_breaks_the_schema_never_reaches_a_model(
    case: AnyCase, mesh: Mesh, administrator: Mapping[str, str]
) -> None:
    # The document's own example would be answered, also as text/plain: the transcoder is liberal about JSON's label.
    assume(case.method != "POST" or (case.body != _ANSWERED and not is_read_liberally(case.body)))

    case.call_and_validate(base_url=mesh.url, headers=dict(administrator), excluded_checks=unpromised(case))


@anonymous.parametrize()
@_BOUNDED
def test_somebody_unknown_is_answered_as_documented(case: AnyCase, mesh: Mesh) -> None:
    response = case.call_and_validate(base_url=mesh.url, excluded_checks=unpromised(case))

    if case.operation.definition.raw["security"]:
        assert response.status_code in (400, 401, 426)  # a WebSocket's path first says what it is
