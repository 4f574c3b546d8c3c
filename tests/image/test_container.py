"""The image in a container as hardened as the chart's: what it answers, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from constellation_ws.cli.client import News, Note, connected
from constellation_ws.messages.events import UserId
from tests.image.building import Image
from tests.image.running import Gateway, Runner, get, probe, running_gateway
from tests.nest_client import nest_client
from tests.processes import HOST, START_SECONDS, Valkey, unused_port
from tests.waiting import PATIENCE_SECONDS, eventually

# The first test may have to build the image.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def gateway(run_by: Runner, image: Image, valkey: Valkey) -> Iterator[Gateway]:
    """A gateway of this test's own."""
    with running_gateway(run_by, image, valkey.url) as gateway:
        yield gateway


async def ready(gateway: Gateway) -> None:
    await eventually(lambda: probe(gateway.ws_port, "/readyz"), START_SECONDS, "it is ready")


async def exit_code(gateway: Gateway) -> int | None:
    container = gateway.container
    await eventually(lambda: container.exit_code() is not None, PATIENCE_SECONDS, "it has ended")
    return container.exit_code()


async def test_it_serves_with_a_read_only_root_and_without_any_privilege(gateway: Gateway) -> None:
    await ready(gateway)
    process = Path("/proc", str(gateway.container.process()))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    (root,) = (
        line.split()
        for line in (process / "mountinfo").read_text().splitlines()
        if line.split()[4] == "/"
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert [int(status[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd")] == [0, 0, 0]
    assert status["NoNewPrivs"].strip() == "1"
    assert status["NSpid"].split()[-1] == "1"
    assert "ro" in root[5].split(",")


async def test_both_doors_are_open(gateway: Gateway) -> None:
    await ready(gateway)
    async with nest_client(gateway.tcp_port) as nest:
        assert (await nest.ask("ping", {}))["pong"] is True
    assert get(gateway.ws_port, "/health").json()["service"] == "constellation-ws"


async def test_sigterm_moves_its_clients_and_ends_it_with_zero(gateway: Gateway) -> None:
    await ready(gateway)
    news: asyncio.Queue[News] = asyncio.Queue()
    url = f"http://{HOST}:{gateway.ws_port}"
    async with connected(url, UserId("u1"), (), news):
        gateway.container.say("TERM")
        await eventually(
            lambda: not probe(gateway.ws_port, "/readyz"), PATIENCE_SECONDS, "readiness falls"
        )
        assert probe(gateway.ws_port, "/livez")
        lost = await asyncio.wait_for(news.get(), PATIENCE_SECONDS)
        assert isinstance(lost, Note)
        assert await exit_code(gateway) == 0


async def test_without_redis_it_lives_but_takes_no_traffic(run_by: Runner, image: Image) -> None:
    nowhere = f"redis://{HOST}:{unused_port()}"
    with running_gateway(run_by, image, nowhere) as gateway:
        await eventually(lambda: probe(gateway.ws_port, "/livez"), START_SECONDS, "it lives")
        assert not probe(gateway.ws_port, "/readyz")


async def test_a_wrong_setting_ends_it_with_one_line_that_names_it(
    run_by: Runner, image: Image, valkey: Valkey
) -> None:
    with running_gateway(run_by, image, valkey.url, CONSTELLATION_DELIVERY="sometimes") as gateway:
        assert await exit_code(gateway) != 0
        lines = gateway.container.lines()
    assert len([line for line in lines if "CONSTELLATION_DELIVERY" in line]) == 1
    assert not any("Traceback" in line for line in lines)
