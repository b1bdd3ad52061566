"""The schemas of what can be sent to a cluster: Kubernetes' own by its version, and those of operators."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the schemas of Kubernetes are not installed")

# Made by tools/operator_schemas.py, but for one.
_FOLDER = Path(__file__).with_name("schemas")
OPERATORS = {path.stem: json.loads(path.read_text()) for path in sorted(_FOLDER.glob("*.json"))}


class Schemas:
    """What a cluster of one version takes. No field is taken that a schema does not name."""

    @classmethod
    @cache
    def of(cls, minor: int) -> "Schemas":
        """The schemas of Kubernetes 1.`minor`, read once."""
        return cls(minor)

    def __init__(self, minor: int) -> None:
        self._folder = files(kubernetes_validate) / "kubernetes-json-schema" / f"v1.{minor}.0-local-strict"
        definitions = json.loads((self._folder / "_definitions.json").read_text())
        self._registry = jsonschema_rs.Registry([(definitions["$id"], definitions)])
        self._validators: dict[tuple[str, str], Any] = {}

    def refusals(self, document: Mapping[str, Any]) -> list[str]:
        """What is wrong with a document, each with its place; of an unknown kind, that it is."""
        version, kind = document["apiVersion"], document["kind"]
        if (version, kind) not in self._validators:
            self._validators[version, kind] = self._validator(version, kind)
        if (validator := self._validators[version, kind]) is None:
            return [f"no schema of {version} {kind}"]
        return [
            f"/{'/'.join(map(str, each.instance_path))}: {each.message}" for each in validator.iter_errors(document)
        ]

    def _validator(self, version: str, kind: str) -> Any:
        schema = OPERATORS.get(kind) or self._own(version, kind)
        return schema and jsonschema_rs.validator_for(schema, registry=self._registry)

    def _own(self, version: str, kind: str) -> Any:
        """Kubernetes' files are named for the kind and the group's first word: `ingress-networking-v1.json`."""
        group, _, number = version.rpartition("/")
        name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], number)))
        path = self._folder / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None
