"""What the chart makes is what each version of Kubernetes takes, and wrong values are refused."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.helm.api_server import ApiServer
from tests.helm.charts import CHART, LEAST, MINORS, VALUES, Document, helm, rendered
from tests.helm.validation import OPERATORS, Schemas


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_lint_finds_nothing(values: Mapping[str, Any]) -> None:
    found = helm.lint(str(CHART), dict(values), strict=True)

    assert [message for message in found["messages"] if message["error"] != "icon is recommended"] == []


@pytest.mark.parametrize("minor", MINORS)
def test_every_document_is_what_kubernetes_and_the_operators_take(
    minor: int, renderings: Mapping[int, Mapping[str, Sequence[Document]]]
) -> None:
    """Each of them: one whose schema nobody knows is refused as well."""
    sets = renderings[max(turn for turn in renderings if turn <= minor)]
    schemas = Schemas.of(minor)

    found = [(name, each["kind"], schemas.refusals(each)) for name, those in sets.items() for each in those]

    assert [each for each in found if each[2]] == []
    assert {kind for _, kind, _ in found} >= {"Deployment", "NetworkPolicy", "Ingress", "StatefulSet", *OPERATORS}


SLIPS: Mapping[str, tuple[str, str, str, object]] = {
    "a misspelt field": ("least", "Deployment", "replica", 2),
    "a duration of an operator": ("ha", "ServiceMonitor", "endpoints", [{"port": "http", "interval": "often"}]),
    "a time-out of a route": ("gateway", "HTTPRoute", "rules", [{"timeouts": {"request": "never"}}]),
    "a use of a certificate": ("mtls", "Certificate", "usages", ["server"]),
    "a rule without a query": ("ha", "PrometheusRule", "groups", [{"name": "a", "rules": [{"alert": "A"}]}]),
    "a policy of secrets": ("gateway", "ExternalSecret", "refreshPolicy", "Often"),
    "a place that no database keeps": ("ha", "Cluster", "storage", {"sise": "1Gi"}),
    "a name that the operator cuts": (
        *("ha", "ClickHouseInstallation", "configuration"),
        {"clusters": [{"name": "longer-than-fifteen"}]},
    ),
}


@pytest.mark.parametrize(("values", "kind", "field", "wrong"), SLIPS.values(), ids=SLIPS)
def test_a_slip_would_be_found(
    values: str, kind: str, field: str, wrong: object, documents: Mapping[str, Sequence[Document]]
) -> None:
    document, *_ = [each for each in documents[values] if each["kind"] == kind]

    refusals = Schemas.of(36).refusals({**document, "spec": {**document["spec"], field: wrong}})

    assert [f"/spec/{field}" in each or f"'{field}'" in each for each in refusals] == [True]


def test_a_kind_that_nobody_knows_is_refused() -> None:
    [refusal] = Schemas.of(36).refusals({"apiVersion": "example.com/v1", "kind": "Mesh"})

    assert refusal == "no schema of example.com/v1 Mesh"


WRONG = {
    "typo": ({"typo": 1}, "'typo' not allowed"),
    "a typo inside": ({"services": {"chat": {"replica": 2}}}, "'replica' not allowed"),
    "a port as text": ({"services": {"chat": {"port": "3002"}}}, "/services/chat/port"),
    "less than nothing": ({"defaults": {"replicas": -1}}, "/defaults/replicas"),
    "an unknown mode": ({"migrations": {"mode": "later"}}, "/migrations/mode"),
    "a path in the URL": ({"publicUrl": "https://example.com/chat"}, "/publicUrl"),
    "no URL": ({"publicUrl": ""}, "publicUrl: is required"),
    "no secrets": ({"secrets": {"existingSecret": ""}}, "kubectl create secret generic"),
    "no such service": ({"services": {"edge": {"calls": ["mail"]}}}, "there is no service mail"),
    "a hook before its database": ({"cloudnativePg": {"enabled": True}}, "choose job, init or start"),
    "two that make the same tables": ({"migrations": {"mode": "init"}}, "services.analytics.replicas"),
    "two when there is more to do": (
        {"migrations": {"mode": "init"}, "services": {"analytics": {"replicas": 1, "autoscaling": {"enabled": True}}}},
        "services.analytics.replicas",
    ),
    "more copies than NATS makes": ({"engines": {"nats": {"replicas": 6}}}, "/engines/nats/replicas"),
    "replicas alone": ({"migrations": {"mode": "job"}, "altinity": {"enabled": True, "replicas": 2}}, "keeper"),
    "certificates of nobody": ({"mtls": {"enabled": True}}, "mtls.issuerRef"),
    "a route to nowhere": ({"gateway": {"enabled": True}}, "gateway.parentRefs"),
}


@pytest.mark.parametrize(("values", "said"), WRONG.values(), ids=WRONG)
async def test_wrong_values_are_refused(values: Mapping[str, Any], said: str, cluster: ApiServer) -> None:
    with pytest.raises(helm.HelmError) as caught:
        await rendered(cluster, {**LEAST, **values})

    assert said in str(caught.value)


# Each looks like a number, a truth or YAML of its own.
ODD: Mapping[str, Any] = {
    "publicPaths": ["/api, pathType: Exact"],
    "secrets": {"existingSecret": "123"},
    "migrations": {"mode": "job"},
    "externalSecrets": {"enabled": True, "key": "a: b}", "storeRef": {"name": "1", "kind": "SecretStore"}},
    "cloudnativePg": {"enabled": True, "storage": {"size": "1", "storageClass": "0x10"}},
    "altinity": {"enabled": True, "passwordKey": "a: b", "storage": {"size": "1", "storageClass": "yes"}},
    "ingress": {"enabled": True, "className": "1e3", "tlsSecret": "true"},
    "gateway": {"enabled": True, "parentRefs": [{"name": "1"}]},
    "mtls": {"enabled": True, "issuerRef": {"name": "1"}, "trustDomain": "a, b", "duration": "1", "renewBefore": "0"},
    "monitoring": {"serviceMonitor": {"enabled": True, "interval": "0"}},
    "defaults": {"priorityClassName": "123"},
}


async def test_texts_stay_texts_whatever_they_look_like(cluster: ApiServer) -> None:
    documents = await rendered(cluster, {**LEAST, **ODD})

    [ingress] = [each for each in documents if each["kind"] == "Ingress"]
    paths = {path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]}
    assert paths == {"/api, pathType: Exact"}
    assert [found for each in documents if (found := Schemas.of(36).refusals(each))] == []


async def test_a_parent_chart_may_hand_its_own_values_down(cluster: ApiServer) -> None:
    assert await rendered(cluster, {**LEAST, "global": {"anything": 1}, "enabled": True})
