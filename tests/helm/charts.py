"""The chart as Helm's own code renders it, for a version of Kubernetes."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from tests.helm.api_server import ApiServer

helm = pytest.importorskip("helm_python", reason="Helm's library is not installed: `make test` installs it")

CHART = Path(__file__).parents[2] / "helm" / "chatmesh"
MINORS = range(29, 38)
NAMESPACE = "prod"

Document: TypeAlias = dict[str, Any]

LEAST = {
    "publicUrl": "https://chat.example.com",
    "mailFrom": "chatmesh <no-reply@example.com>",
    "secrets": {"existingSecret": "chatmesh"},
}
# Each with the file of that name, if there is one; the others show what no file has.
VALUES: Mapping[str, Mapping[str, Any]] = {
    "least": LEAST,
    "init": {**LEAST, "migrations": {"mode": "init"}, "services": {"analytics": {"replicas": 1}}},
    "scaled": {**LEAST, "defaults": {"autoscaling": {"enabled": True}}, "ingress": {"enabled": True}},
    **{
        path.stem.removeprefix("values-"): yaml.safe_load(path.read_text())
        for path in sorted(CHART.glob("values-*.yaml"))
    },
}


_SINCE = re.compile(r'semverCompare ">=1\.(\d+)\.0-0" \.root\.Capabilities\.KubeVersion\.Version')


def turns() -> list[int]:
    """The versions from which on the templates say something else, the oldest first; they ask a cluster no more."""
    texts = [path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file()]
    found = [int(minor) for text in texts for minor in _SINCE.findall(text)]
    assert sum(text.count("Capabilities") for text in texts) == len(found)
    assert not any("lookup " in text for text in texts)
    return sorted({MINORS[0], *found})


def config(server: ApiServer) -> Any:
    """Helm, configured for a cluster."""
    cluster = {"name": "c", "cluster": {"server": server.url}}
    context = {"name": "c", "context": {"cluster": "c", "namespace": NAMESPACE}}
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "users": []}
    return helm.Config(
        kubeconfig_content=yaml.safe_dump({**kubeconfig, "current-context": "c"}),
        kube_apiserver=server.url,
        namespace=NAMESPACE,
        storage_driver="memory",
    )


async def rendered(server: ApiServer, values: Mapping[str, Any]) -> list[Document]:
    """What Helm would send to that server."""
    return await asyncio.to_thread(lambda: list(_documents(config(server), values)))


def _documents(cluster: Any, values: Mapping[str, Any]) -> Iterator[Document]:
    """Of two ways to render, one knows the cluster's version and the other shows hooks."""
    with cluster, helm.Chart.load(str(CHART)) as chart:
        release = cluster.install(chart, "demo", dict(values), namespace=NAMESPACE, dry_run="server")
        yield from filter(None, _read(release["manifest"]))
        for name, text in cluster.render(chart, dict(values), name="demo", namespace=NAMESPACE).items():
            documents = _read(text) if name.endswith(".yaml") else ()
            yield from (
                each for each in documents if each and "helm.sh/hook" in each["metadata"].get("annotations", {})
            )


def _read(text: str) -> Iterator[Document]:
    return yaml.load_all(text, Loader=yaml.CSafeLoader)  # eight times as fast as the one in Python
