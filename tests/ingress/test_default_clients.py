"""Default clients behind each proxy, three pods: nobody notices that there is more than one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingress.clients import company
from tests.ingress.proxies.table import PROXIES, running, why_not
from tests.ingress.trial import metric, trial
from tests.processes import Gateway, Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")

POD_COUNT = 3
DEFAULT, POLLING = 30, 6
EVENTS_PER_SECOND = 100


@pytest.mark.parametrize("name", PROXIES)
async def test_clients_connect_upgrade_and_receive_as_if_there_were_one_pod(
    name: str, pods: list[Gateway], valkey: Valkey, tmp_path: Path
) -> None:
    if reason := why_not(name):
        pytest.skip(reason)
    with running(name, tmp_path / name) as proxy:
        await proxy.route_to([pod.ws_port for pod in pods])
        crowd = company(name, proxy.port, DEFAULT, POLLING)
        moved_before = await moved(pods)
        forwarded_before = await forwarded(pods)

        seen = await trial(crowd, valkey.port, EVENTS_PER_SECOND)

        assert seen.faults == []
        assert seen.connected == DEFAULT + POLLING
        assert len(seen.upgrade_seconds) == DEFAULT
        # Otherwise it was luck, or a proxy that is sticky.
        assert await moved(pods) > moved_before
        assert await forwarded(pods) > forwarded_before


async def moved(pods: list[Gateway]) -> float:
    name = "constellation_moved_sessions_total"
    return await metric(pods, name, direction="in", outcome="moved")


async def forwarded(pods: list[Gateway]) -> float:
    return await metric(pods, "constellation_forwarded_requests_total")
