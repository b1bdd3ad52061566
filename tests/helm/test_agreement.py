"""The chart and the code say the same: settings, ports, who calls whom, which paths there are, what is watched."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml

from analytics_svc.settings import AnalyticsSettings
from auth_svc.settings import AuthSettings
from billing_svc.settings import BillingSettings
from chat_svc.settings import ChatSettings
from edge.pages import descriptors
from edge.settings import EdgeSettings
from edge.transcoder import GrpcUpstream, Transcoder
from mesh.processes import ADMIN_OFFSET, EDGE_PORT, SERVICES
from svckit.settings import DEVELOPMENT_ONLY, Settings
from tests.helm.charts import CHART, VALUES, Document
from tests.helm.test_documents import of_kind

CHART_VALUES: Mapping[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
PROCESSES: Mapping[str, type[Settings]] = {
    "edge": EdgeSettings,
    "auth": AuthSettings,
    "chat": ChatSettings,
    "billing": BillingSettings,
    "analytics": AnalyticsSettings,
}
ENGINES = {
    "database_url": "postgres",
    "redis_url": "redis",
    "nats_url": "nats",
    "clickhouse_url": "clickhouse",
    "smtp_url": "smtp",
}
Documents = Mapping[str, Sequence[Document]]


def environment(name: str, documents: Sequence[Document]) -> dict[str, Mapping[str, Any]]:
    """Each variable of a process, and how it comes: as text, or from a Secret."""
    [deployment] = [each for each in of_kind("Deployment", documents) if each["metadata"]["name"].endswith(f"-{name}")]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [settings] = [
        each["data"]
        for each in of_kind("ConfigMap", documents)
        if each["metadata"]["name"] == container["envFrom"][0]["configMapRef"]["name"]
    ]
    return {
        **{variable: {"value": value} for variable, value in settings.items()},
        **{each["name"]: each for each in container["env"]},
    }


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_gets_what_it_requires_and_nothing_it_does_not_read(name: str, documents: Documents) -> None:
    fields = PROCESSES[name].model_fields
    required = {field.upper() for field, about in fields.items() if DEVELOPMENT_ONLY in about.metadata}
    if name == "billing":
        required.add("STRIPE_SECRET_KEY")
    for values in VALUES:
        given = environment(name, documents[values])
        demanded = {
            variable
            for variable, each in given.items()
            if not each.get("valueFrom", {}).get("secretKeyRef", {}).get("optional")
        }
        assert given.keys() - {"CLICKHOUSE_PASSWORD"} <= {field.upper() for field in fields}
        assert values == "tryout" or required <= demanded


def test_ports_are_those_of_the_code() -> None:
    services = CHART_VALUES["services"]

    assert {name: each["port"] for name, each in services.items()} == {**SERVICES, "edge": EDGE_PORT}
    assert all(services[name]["adminPort"] == port + ADMIN_OFFSET for name, port in SERVICES.items())


@pytest.mark.parametrize("name", PROCESSES)
def test_addresses_are_spread_over_all_pods_of_whom_a_process_calls(name: str, documents: Documents) -> None:
    given = environment(name, documents["least"])
    for called in CHART_VALUES["services"][name]["calls"]:
        assert given[f"{called.upper()}_SERVICE_URL"]["value"] == (
            f"dns:///demo-chatmesh-{called}.prod.svc.cluster.local:{SERVICES[called]}"
        )


def policies(documents: Sequence[Document]) -> dict[str, Mapping[str, Any]]:
    return {
        each["metadata"]["name"].removeprefix("demo-chatmesh-"): each["spec"]
        for each in of_kind("NetworkPolicy", documents)
    }


def components(peers: Sequence[Mapping[str, Any]]) -> set[str]:
    return {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in peers if "podSelector" in peer
    }


def test_the_network_lets_through_exactly_the_calls_that_the_settings_name(documents: Documents) -> None:
    called = {
        name: {field.removesuffix("_service_url") for field in settings.model_fields if field.endswith("_service_url")}
        for name, settings in PROCESSES.items()
    }
    found = policies(documents["least"])
    outgoing = {
        name: set[str]().union(*(components(rule.get("to", [])) for rule in found[name]["egress"]))
        for name in PROCESSES
    }
    incoming = {
        name: set[str]().union(*(components(rule.get("from", [])) for rule in found[name]["ingress"]))
        for name in PROCESSES
    }

    assert outgoing == called
    assert incoming == {name: {caller for caller in called if name in called[caller]} for name in PROCESSES}


@pytest.mark.parametrize("name", PROCESSES)
def test_the_network_opens_the_ports_of_names_engines_and_the_internet(name: str, documents: Documents) -> None:
    engines = {engine for field, engine in ENGINES.items() if field in PROCESSES[name].model_fields}
    egress = policies(documents["least"])[name]["egress"]
    ports = [port["port"] for rule in egress for port in rule["ports"] if not components(rule.get("to", []))]
    reaches = name in ("auth", "chat", "billing")  # OpenID Connect, models, Stripe

    wanted = [53, 53, *(CHART_VALUES["engines"][engine]["port"] for engine in engines), *([443] if reaches else [])]
    assert sorted(ports) == sorted(wanted)


def test_nothing_else_is_let_through(documents: Documents) -> None:
    deny = policies(documents["least"])["deny"]

    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert deny.keys() == {"podSelector", "policyTypes"}
    assert deny["podSelector"]["matchLabels"]["app.kubernetes.io/part-of"] == "chatmesh"


def test_every_route_is_reachable_from_outside() -> None:
    public = CHART_VALUES["publicPaths"]
    paths = {route.template.text for route in Transcoder(descriptors(), GrpcUpstream({})).routes}

    assert [path for path in paths if not path.startswith(tuple(f"{prefix}/" for prefix in public))] == []
    assert not {"/", "/metrics", "/livez", "/readyz"} & set(public)


def test_rules_and_dashboards_arrive_as_they_are(documents: Documents) -> None:
    [rules] = of_kind("PrometheusRule", documents["ha"])
    dashboards = [
        each for each in of_kind("ConfigMap", documents["ha"]) if "grafana_dashboard" in each["metadata"]["labels"]
    ]

    assert rules["spec"] == yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert all(json.loads(text)["uid"] for each in dashboards for text in each["data"].values())
    assert len(dashboards) == len(list((CHART / "files" / "dashboards").glob("*.json")))
