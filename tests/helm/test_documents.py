"""What platform teams ask of each document, whatever the values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.helm import api_server
from tests.helm.charts import LEAST, VALUES, Document, rendered

SETS = pytest.mark.parametrize("name", VALUES)
Documents = Mapping[str, Sequence[Document]]


def of_kind(kind: str, documents: Sequence[Document]) -> Iterator[Document]:
    return (each for each in documents if each["kind"] == kind)


def pods(documents: Sequence[Document]) -> Iterator[Mapping[str, Any]]:
    """The pods of the product itself, not those of engines for trying out."""
    yield from (each["spec"] for each in of_kind("Pod", documents))
    for kind in ("Deployment", "Job"):
        yield from (each["spec"]["template"]["spec"] for each in of_kind(kind, documents))


def containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


@SETS
def test_pods_are_restricted_and_have_no_user_of_their_own(name: str, documents: Documents) -> None:
    for pod in pods(documents[name]):
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@SETS
def test_every_process_is_probed_and_has_time_to_end(name: str, documents: Documents) -> None:
    for deployment in of_kind("Deployment", documents[name]):
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        [settings] = [
            each["data"]
            for each in of_kind("ConfigMap", documents[name])
            if each["metadata"]["name"] == container["envFrom"][0]["configMapRef"]["name"]
        ]
        probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        wanted = "httpGet" if container["name"] == "edge" else "grpc"
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert all(wanted in probe for probe in probes)
        assert pod["terminationGracePeriodSeconds"] > sleep + int(settings["STOP_GRACE"])
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_before_kubernetes_has_its_own_sleep_the_container_sleeps(renderings: Mapping[int, Documents]) -> None:
    for deployment in of_kind("Deployment", renderings[29]["least"]):
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert container["lifecycle"]["preStop"]["exec"]["command"][0] == "python"


@SETS
def test_services_lead_to_their_pods_and_grpc_ones_show_each_pod(name: str, documents: Documents) -> None:
    templates = [
        each["spec"]["template"] for kind in ("Deployment", "StatefulSet") for each in of_kind(kind, documents[name])
    ]
    for service in of_kind("Service", documents[name]):
        [template] = [
            each for each in templates if service["spec"]["selector"].items() <= each["metadata"]["labels"].items()
        ]
        open_ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
        # Whoever calls a headless service calls the pod's own port.
        assert all(open_ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])
        if "grpc" in open_ports:
            assert service["spec"]["clusterIP"] == "None"


@SETS
def test_selectors_hold_only_what_never_changes(name: str, documents: Documents) -> None:
    for deployment in of_kind("Deployment", documents[name]):
        labels = deployment["spec"]["selector"]["matchLabels"]
        assert labels.keys() == {"app.kubernetes.io/instance", "app.kubernetes.io/component"}
        assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


@SETS
def test_either_replicas_or_an_autoscaler_decides(name: str, documents: Documents) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind("HorizontalPodAutoscaler", documents[name])}
    guarded = {each["metadata"]["name"] for each in of_kind("PodDisruptionBudget", documents[name])}
    for deployment in of_kind("Deployment", documents[name]):
        own = deployment["metadata"]["name"]
        assert ("replicas" in deployment["spec"]) != (own in scaled)
        assert (own in guarded) == (deployment["spec"].get("replicas", 2) > 1)


def test_chat_scales_by_streams_and_slowly_down(documents: Documents) -> None:
    [chat] = [
        each
        for each in of_kind("HorizontalPodAutoscaler", documents["ha"])
        if each["metadata"]["name"].endswith("chat")
    ]

    behavior, [streams, cpu] = chat["spec"]["behavior"], chat["spec"]["metrics"]
    assert streams["pods"]["metric"]["name"] == "rpc_server_active_streams"
    assert cpu["resource"]["name"] == "cpu"
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_a_hook_needs_nothing_of_its_release(documents: Documents) -> None:
    [job] = of_kind("Job", documents["least"])
    pod = job["spec"]["template"]["spec"]
    text = json.dumps(pod)

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in pod
    assert not any(f'"demo-chatmesh-{kind}' in text for kind in ("auth", "chat", "secrets", "postgres"))


def test_tables_are_made_by_whoever_is_told_to(documents: Documents) -> None:
    jobs = {name: [each["metadata"]["name"] for each in of_kind("Job", documents[name])] for name in VALUES}
    inits = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["initContainers"][0]["args"][-1]
        for each in of_kind("Deployment", documents["init"])
        if "initContainers" in each["spec"]["template"]["spec"]
    }
    at_start = {
        name: {each["data"].get("MIGRATE_AT_START") for each in of_kind("ConfigMap", documents[name])} - {None}
        for name in ("least", "tryout")
    }

    assert jobs["ha"] == jobs["gateway"] == ["demo-chatmesh-migrate-1"]
    assert jobs["init"] == jobs["tryout"] == []
    assert inits == {f"demo-chatmesh-{name}": name for name in ("auth", "chat", "billing", "analytics")}
    assert at_start == {"least": {"false"}, "tryout": {"true"}}


async def test_who_makes_tables_knows_how_long_they_keep_rows() -> None:
    kept = {"services": {"analytics": {"env": {"EVENTS_RETENTION_DAYS": 400}}}}
    async with api_server.serving(minor=36) as server:
        documents = await rendered(server, {**LEAST, **kept})
    [job] = of_kind("Job", documents)

    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "EVENTS_RETENTION_DAYS", "value": "400"} in env


async def test_changed_settings_start_only_those_pods_anew_that_have_them() -> None:
    async with api_server.serving(minor=36) as server:
        before = await rendered(server, LEAST)
        after = await rendered(server, {**LEAST, "services": {"chat": {"env": {"UNREAD_ANSWER_GRACE": 60}}}})
    templates = [
        {each["metadata"]["name"]: each["spec"]["template"] for each in of_kind("Deployment", documents)}
        for documents in (before, after)
    ]

    assert {name for name in templates[0] if templates[0][name] != templates[1][name]} == {"demo-chatmesh-chat"}


@pytest.mark.parametrize("name", ["gateway", "openshift", "scaled"])
def test_streams_are_not_cut_on_their_way_in(name: str, documents: Documents) -> None:
    for route in of_kind("HTTPRoute", documents[name]):
        assert all(rule["timeouts"] == {"request": "0s"} for rule in route["spec"]["rules"])
    for ingress in of_kind("Ingress", documents[name]):
        assert {"1h", "3600"} & set(ingress["metadata"]["annotations"].values())
    assert any(each["kind"] in ("HTTPRoute", "Ingress") for each in documents[name])


def test_with_mutual_tls_certificates_fit_the_addresses_and_probes_speak_plaintext(documents: Documents) -> None:
    mtls = documents["mtls"]
    certificates = {each["spec"]["secretName"]: each["spec"] for each in of_kind("Certificate", mtls)}
    settings = {each["metadata"]["name"]: each["data"] for each in of_kind("ConfigMap", mtls)}
    for deployment in of_kind("Deployment", mtls):
        own, pod = deployment["metadata"]["name"], deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        [mount] = [each for each in container["volumeMounts"] if each["name"] == "tls"]
        certificate = certificates[f"{own}-tls"]
        assert {"name": "tls", "secret": {"secretName": f"{own}-tls"}} in pod["volumes"]
        assert all(settings[own][f"GRPC_TLS_{name}"].startswith(mount["mountPath"]) for name in ("CERT", "KEY", "CA"))
        assert certificate["usages"] == ["server auth", "client auth"]
        assert certificate["privateKey"]["rotationPolicy"] == "Always"
        if container["name"] != "edge":
            edge = settings["demo-chatmesh-edge"][f"{container['name'].upper()}_SERVICE_URL"]
            assert edge.removeprefix("dns:///").rpartition(":")[0] in certificate["dnsNames"]
            probed = {container[f"{kind}Probe"]["grpc"]["port"] for kind in ("startup", "readiness", "liveness")}
            assert {int(settings[own]["HEALTH_LISTEN"].rpartition(":")[2])} == probed


def test_what_the_operators_are_told(documents: Documents) -> None:
    ha, gateway = documents["ha"], documents["gateway"]
    [postgres], [clickhouse] = of_kind("Cluster", ha), of_kind("ClickHouseInstallation", ha)
    [secret], monitors = of_kind("ExternalSecret", gateway), list(of_kind("ServiceMonitor", ha))
    [migrate] = of_kind("Job", ha)
    env = {each["name"]: each for each in migrate["spec"]["template"]["spec"]["containers"][0]["env"]}

    replicas = {each["data"].get("NATS_REPLICAS") for each in of_kind("ConfigMap", ha)} - {None}
    assert replicas == {"3"}
    assert env["DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"] == f"{postgres['metadata']['name']}-app"
    assert f"clickhouse-{clickhouse['metadata']['name']}:8123" in env["CLICKHOUSE_URL"]["value"]
    assert env["CLICKHOUSE_CLUSTER"]["value"] == clickhouse["spec"]["configuration"]["clusters"][0]["name"]
    assert secret["spec"]["target"]["name"] == "chatmesh"
    assert {each["spec"]["endpoints"][0]["port"] for each in monitors} == {"admin", "http"}
