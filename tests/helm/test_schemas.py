"""What the chart makes is what each version of Kubernetes takes, and wrong values are refused."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.helm import api_server
from tests.helm.api_server import ApiServer
from tests.helm.charts import CHART, LEAST, MINORS, VALUES, Document, helm, rendered

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes are not installed")


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_lint_finds_nothing(values: Mapping[str, Any]) -> None:
    found = helm.lint(str(CHART), dict(values), strict=True)

    assert [message for message in found["messages"] if message["error"] != "icon is recommended"] == []


@pytest.mark.parametrize("minor", MINORS)
async def test_every_document_is_what_kubernetes_takes(minor: int) -> None:
    """Those of operators are looked at elsewhere: their schemas are not Kubernetes'."""
    async with api_server.serving(minor=minor) as server:
        documents = [each for values in VALUES.values() for each in await rendered(server, values)]

    own = {_shape(document): document for document in documents if _is_kubernetes_own(document)}
    for document in own.values():
        kubernetes_validate.validate(document, f"1.{minor}", strict=True)
    assert {document["kind"] for document in own.values()} > {"Deployment", "NetworkPolicy", "Ingress", "StatefulSet"}


async def test_a_misspelt_field_would_be_found(documents: Mapping[str, Sequence[Document]]) -> None:
    [deployment, *_] = [each for each in documents["least"] if each["kind"] == "Deployment"]
    spec = {**deployment["spec"], "replica": 2}

    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate({**deployment, "spec": spec}, "1.36", strict=True)


def _shape(value: object) -> str:
    """What is the same of documents that differ in nothing but texts and numbers: one of them is enough."""
    if isinstance(value, dict):
        kind = value["kind"] if "apiVersion" in value else ""
        return f"{kind}{{{','.join(f'{name}:{_shape(value[name])}' for name in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{','.join(sorted({_shape(each) for each in value}))}]"
    return type(value).__name__


def _is_kubernetes_own(document: Document) -> bool:
    group = document["apiVersion"].rpartition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway."))


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
    "two that make the same tables": ({"migrations": {"mode": "start"}}, "services.analytics.replicas"),
    "replicas alone": ({"migrations": {"mode": "job"}, "altinity": {"enabled": True, "replicas": 2}}, "keeper"),
    "certificates of nobody": ({"mtls": {"enabled": True}}, "mtls.issuerRef"),
    "a route to nowhere": ({"gateway": {"enabled": True}}, "gateway.parentRefs"),
}


@pytest.mark.parametrize(("values", "said"), WRONG.values(), ids=WRONG)
async def test_wrong_values_are_refused(values: Mapping[str, Any], said: str, cluster: ApiServer) -> None:
    with pytest.raises(helm.HelmError) as caught:
        await rendered(cluster, {**LEAST, **values})

    assert said in str(caught.value)


async def test_a_parent_chart_may_hand_its_own_values_down(cluster: ApiServer) -> None:
    assert await rendered(cluster, {**LEAST, "global": {"anything": 1}, "enabled": True})
