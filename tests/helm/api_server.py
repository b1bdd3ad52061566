"""A stand-in for Kubernetes' API server: enough of its REST for Helm to manage a release.

It keeps objects and says at once that they are ready; nothing is scheduled, and no schema is looked at.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml
from aiohttp import web

Object: TypeAlias = dict[str, Any]

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
# By group and version: the plural and the kind of what can be made there.
_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "v1": {
        "pods": "Pod",
        "services": "Service",
        "secrets": "Secret",
        "configmaps": "ConfigMap",
        "serviceaccounts": "ServiceAccount",
    },
    "apps/v1": {"deployments": "Deployment", "statefulsets": "StatefulSet", "replicasets": "ReplicaSet"},
    "batch/v1": {"jobs": "Job"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy", "ingresses": "Ingress"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    # What operators bring along.
    "cert-manager.io/v1": {"certificates": "Certificate"},
    "clickhouse.altinity.com/v1": {"clickhouseinstallations": "ClickHouseInstallation"},
    "external-secrets.io/v1": {"externalsecrets": "ExternalSecret"},
    "gateway.networking.k8s.io/v1": {"httproutes": "HTTPRoute"},
    "monitoring.coreos.com/v1": {"servicemonitors": "ServiceMonitor", "prometheusrules": "PrometheusRule"},
    "postgresql.cnpg.io/v1": {"clusters": "Cluster"},
}
_READY: Mapping[str, Object] = {
    "Job": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    "Pod": {"phase": "Succeeded"},
}


class Key(NamedTuple):
    """Where an object is."""

    version: str
    plural: str
    namespace: str
    name: str


@dataclass(eq=False)
class ApiServer:
    """What is there, and in `journal` what was done: `create Job/demo-migrate`."""

    minor: int
    url: str = ""
    objects: dict[Key, Object] = field(default_factory=dict)
    journal: list[str] = field(default_factory=list)
    _watchers: list[asyncio.Queue[tuple[Key, Object]]] = field(default_factory=list)
    _changes: int = 0

    def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.objects.values() if each["kind"] == kind}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts[0] == "version":
            return web.json_response({"major": "1", "minor": f"{self.minor}", "gitVersion": f"v1.{self.minor}.0"})
        if parts[0] == "openapi":
            return web.json_response(_openapi("/".join(parts[3:])) if len(parts) > 2 else _openapi_index())
        version, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        if not rest:
            return _discovery(parts[0], version if len(parts) > 1 else "")
        return await self._object(request, _key(version, rest))

    async def _object(self, request: web.Request, key: Key) -> web.StreamResponse:
        if request.method == "GET" and not key.name:
            return await (self._watch if request.query.get("watch") else self._list)(request, key)
        if "protobuf" in request.content_type:
            return _status(415, "UnsupportedMediaType")
        if request.method == "POST":
            given = yaml.safe_load(await request.read())
            return self._keep(key._replace(name=given["metadata"]["name"]), given)
        if request.method == "PATCH" and (key in self.objects or "apply" in request.content_type):
            return self._keep(key, _patched(self.objects.get(key, {}), yaml.safe_load(await request.read())))
        if key not in self.objects:
            return _status(404, "NotFound")
        if request.method == "DELETE":
            self.journal.append(f"delete {self.objects[key]['kind']}/{key.name}")
            self._tell(key, "DELETED", self.objects.pop(key))
            return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        if request.method == "PUT":
            return self._keep(key, yaml.safe_load(await request.read()))
        return web.json_response(self.objects[key])

    def _keep(self, key: Key, given: Object) -> web.Response:
        before = self.objects.get(key, {})
        kind = _RESOURCES[key.version][key.plural]
        self._changes += 1
        metadata = before.get("metadata", {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"})
        generation = metadata.get("generation", 0) + 1
        kept = {"apiVersion": key.version, "kind": kind, **given}
        kept["metadata"] = {
            **metadata,
            **given["metadata"],
            "namespace": key.namespace,
            "resourceVersion": str(self._changes),
            "generation": generation,
        }
        kept["status"] = _READY.get(kind, {}) if kind != "Deployment" else _rolled_out(kept, generation)
        self.objects[key] = kept
        self.journal.append(f"{'update' if before else 'create'} {kind}/{key.name}")
        self._tell(key, "MODIFIED" if before else "ADDED", kept)
        return web.json_response(kept, status=200 if before else 201)

    async def _list(self, request: web.Request, key: Key) -> web.StreamResponse:
        items = self._selected(request, key)
        kind = f"{_RESOURCES[key.version][key.plural]}List"
        metadata = {"resourceVersion": str(self._changes)}
        return web.json_response({"kind": kind, "apiVersion": key.version, "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, key: Key) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[tuple[Key, Object]] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            if request.query.get("sendInitialEvents") == "true":
                for each in self._selected(request, key):
                    await response.write(_line({"type": "ADDED", "object": each}))
                await response.write(_line(_bookmark(key, self._changes)))
            while True:
                where, event = await queue.get()
                if where[:3] == key[:3]:
                    await response.write(_line(event))
        finally:
            self._watchers.remove(queue)

    def _selected(self, request: web.Request, key: Key) -> list[Object]:
        labels = [part.split("=") for part in request.query.get("labelSelector", "").split(",") if "=" in part]
        _, _, name = request.query.get("fieldSelector", "").partition("metadata.name=")
        return [
            each
            for where, each in self.objects.items()
            if where[:3] == key[:3]
            and (not name or where.name == name)
            and all(each["metadata"].get("labels", {}).get(label) == value for label, value in labels)
        ]

    def _tell(self, key: Key, type_: str, told: Object) -> None:
        for watcher in self._watchers:
            watcher.put_nowait((key, {"type": type_, "object": told}))


@asynccontextmanager
async def serving(*, minor: int) -> AsyncIterator[ApiServer]:
    """An API server of Kubernetes 1.`minor`, empty."""
    server = ApiServer(minor)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def _key(version: str, rest: list[str]) -> Key:
    """Read `namespaces/prod/pods/x`."""
    namespace, rest = (rest[1], rest[2:]) if rest[0] == "namespaces" and len(rest) > 2 else ("", rest)
    return Key(version, rest[0], namespace, rest[1] if len(rest) > 1 else "")


def _patched(before: Object, patch: Object) -> Object:
    """Merge as JSON Merge Patch does, which for what Helm sends here comes to the same as a strategic one."""
    merged = dict(before)
    for name, value in patch.items():
        merged[name] = _patched(merged.get(name) or {}, value) if isinstance(value, dict) else value
    return {name: value for name, value in merged.items() if value is not None}


def _rolled_out(deployment: Object, generation: int) -> Object:
    counts = dict.fromkeys(
        ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), deployment["spec"].get("replicas", 1)
    )
    conditions = [{"type": name, "status": "True"} for name in ("Available", "Progressing")]
    return {"observedGeneration": generation, **counts, "conditions": conditions}


def _discovery(root: str, version: str) -> web.Response:
    if root == "api" and not version:
        return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
    if not version:
        groups = [each.split("/") for each in _RESOURCES if "/" in each]
        served = [(group, {"groupVersion": f"{group}/{number}", "version": number}) for group, number in groups]
        listed = [{"name": group, "versions": [one], "preferredVersion": one} for group, one in served]
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": _VERBS}
        for plural, kind in _RESOURCES.get(version, {}).items()
    ]
    return web.json_response({"kind": "APIResourceList", "groupVersion": version, "resources": resources})


def _openapi_index() -> Object:
    paths = {f"apis/{version}" if "/" in version else f"api/{version}" for version in _RESOURCES}
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def _openapi(version: str) -> Object:
    """What Helm wants to know before it applies: that the server takes `fieldValidation`."""
    group, _, number = version.rpartition("/")
    root = f"apis/{version}" if group else f"api/{version}"
    parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {}
    for plural, kind in _RESOURCES.get(version, {}).items():
        meant = {"group": group, "version": number, "kind": kind}
        patch = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": meant, "parameters": parameters}
        patch["responses"] = {"200": {"description": "OK"}}
        paths[f"/{root}/namespaces/{{namespace}}/{plural}/{{name}}"] = {"patch": patch}
    info = {"title": "Kubernetes", "version": "v1"}
    return {"openapi": "3.0.0", "info": info, "components": {"schemas": {}}, "paths": paths}


def _status(code: int, reason: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    return web.json_response(body, status=code)


def _bookmark(key: Key, changes: int) -> Object:
    annotations = {"k8s.io/initial-events-end": "true"}
    metadata = {"resourceVersion": str(changes), "annotations": annotations}
    kind = _RESOURCES[key.version][key.plural]
    return {"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": key.version, "metadata": metadata}}


def _line(event: Object) -> bytes:
    return json.dumps(event).encode() + b"\n"
