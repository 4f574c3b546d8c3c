"""socket.io-client from 4.0 to the newest with default options behind a proxy, two pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ingress.clients import RELEASES, RELEASES_FOLDER, generations
from tests.ingress.proxies.table import running
from tests.ingress.trial import trial
from tests.processes import Gateway, Valkey

POD_COUNT = 2
OF_EACH = 6
EVENTS_PER_SECOND = 100


@pytest.mark.asyncio(loop_scope="session")
async def test_every_release_connects_upgrades_and_receives(
    pods: list[Gateway], valkey: Valkey, tmp_path: Path
) -> None:
    with running("nginx", tmp_path / "nginx") as proxy:
        await proxy.route_to([pod.ws_port for pod in pods])

        seen = await trial(
            generations("releases", proxy.port, OF_EACH), valkey.port, EVENTS_PER_SECOND
        )

    assert seen.faults == []
    assert seen.connected == len(seen.upgrade_seconds) == OF_EACH * len(RELEASES)


def test_each_name_is_the_release_that_it_says() -> None:
    lock = json.loads((RELEASES_FOLDER / "package-lock.json").read_text("utf-8"))
    versions = {name: lock["packages"][f"node_modules/{name}"]["version"] for name in RELEASES}
    for name, version in versions.items():
        *_, major, minor = name.split("-") if name[-1].isdigit() else ("4", "8")
        assert version.startswith(f"{major}.{minor}."), versions
    assert len(set(versions.values())) == len(RELEASES)
