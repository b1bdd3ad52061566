"""A release's life, by Helm's own code."""

import asyncio
from typing import Any

import pytest

from tests.helm.api_server import ApiServer
from tests.helm.charts import CHART, LEAST, config, helm

FAST = {"wait": "watcher", "timeout": 30}


async def test_a_release_is_installed_upgraded_tested_rolled_back_and_uninstalled(cluster: ApiServer) -> None:
    with config(cluster) as release:
        await _do(release.install, str(CHART), "demo", LEAST, **FAST)
        installed = list(cluster.journal)
        images = {_image(cluster)}
        await _do(release.upgrade, str(CHART), "demo", {**LEAST, "image": {"tag": "0.2.0"}}, **FAST)
        images.add(_image(cluster))
        upgraded = cluster.journal[len(installed) :]
        await _do(release.test, "demo", timeout=30)
        await _do(release.rollback, "demo", version=1, timeout=30)
        back = _image(cluster)
        with pytest.raises(helm.HelmError, match="typo"):
            await _do(release.upgrade, str(CHART), "demo", {**LEAST, "typo": 1})
        await _do(release.uninstall, "demo", timeout=30)

    hook = ["create Job/demo-chatmesh-migrate", "delete Job/demo-chatmesh-migrate"]
    assert [line for line in installed if "Secret" not in line][:2] == hook
    assert [line for line in upgraded if "Secret" not in line][:2] == hook
    assert (images, back) == ({"chatmesh:0.1.0", "chatmesh:0.2.0"}, "chatmesh:0.1.0")
    assert "create Pod/demo-chatmesh-test" in cluster.journal
    assert cluster.names("Deployment") == set()


def _image(cluster: ApiServer) -> str:
    [deployment] = [
        each
        for key, each in cluster.objects.items()
        if key.name == "demo-chatmesh-chat" and key.plural == "deployments"
    ]
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


async def _do(act: Any, *arguments: object, **options: object) -> None:
    await asyncio.to_thread(act, *arguments, **options)
