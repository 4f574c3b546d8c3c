"""Clients watch who comes and goes: from two pods, through a reconnect, and without a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journey.conftest import StartGateway
from tests.js_clients import POLLING, JsClient, JsClients
from tests.processes import Valkey

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = """
extends = "default"
[[request]]
event = "watch-users"
watches = "userIds"
[[request]]
event = "unwatch-users"
unwatches = "userIds"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "interface.toml"
    file.write_text(TABLE)
    return file


def seen(client: JsClient) -> list[tuple[str, str]]:
    """Every change that a client was notified of."""
    events = [one for one in client.received if one.event == "presence"]
    assert all(set(one.payload) == {"userId", "status", "at"} for one in events)
    return [(one.payload["userId"], one.payload["status"]) for one in events]


async def sees(client: JsClient, *expected: tuple[str, str]) -> None:
    await client.until(lambda: len(seen(client)) >= len(expected), f"it sees {expected}")
    assert seen(client) == [*expected]


async def asks(client: JsClient, event: str, *users: str) -> object:
    ack = await client.ask(event, {"userIds": list(users)})
    assert ack["success"], ack
    return ack["data"]


async def test_changes_reach_who_watches_once_from_any_pod_and_after_a_reconnect(
    valkey: Valkey, gateway: StartGateway, js: JsClients, table: Path, mine: str
) -> None:
    bob, carol, eve = f"bob{mine}", f"carol{mine}", f"eve{mine}"
    own = {
        "CONSTELLATION_INTERFACE_FILE": str(table),
        "CONSTELLATION_REDIS_PREFIX": f"watching{mine}",
    }
    async with gateway(valkey.url, **own) as a, gateway(valkey.url, **own) as b:
        watcher = await js.connect(
            a.chats_url, user=f"w{mine}", auth={"userId": f"w{mine}", "recovery": True}
        )
        polling = await js.connect(b.chats_url, user=f"p{mine}", transports=POLLING)
        assert await asks(watcher, "watch-users", bob, carol) == {"online": []}
        assert await asks(polling, "watch-users", bob, eve) == {"online": []}

        first = await js.connect(b.chats_url, user=bob)
        for client in (watcher, polling):
            await sees(client, (bob, "online"))
        second = await js.connect(a.chats_url, user=bob)  # no news
        assert await asks(polling, "unwatch-users", bob) == {}
        assert await asks(polling, "watch-users", eve) == {"online": []}

        watcher.sever()
        await js.connect(b.chats_url, user=carol)
        await watcher.until(lambda: watcher.connects == 2, "it is back")
        assert watcher.recovered == [False, True]
        so_far = [(bob, "online"), (carol, "online")]
        await sees(watcher, *so_far)
        assert await asks(watcher, "watch-users", carol, eve, bob) == {"online": [carol, bob]}

        first.close()
        second.close()
        await js.connect(a.chats_url, user=eve)
        await sees(watcher, *so_far, (eve, "online"), (bob, "offline"))
        await sees(polling, (bob, "online"), (eve, "online"))
        for pod in (a, b):
            assert pod.stray_lines() == []


async def test_changes_reach_who_watches_without_a_log(
    valkey: Valkey, gateway: StartGateway, js: JsClients, table: Path, mine: str
) -> None:
    bob = f"bob{mine}"
    async with gateway(
        valkey.url,
        CONSTELLATION_INTERFACE_FILE=str(table),
        CONSTELLATION_REDIS_PREFIX=f"watching{mine}",
        CONSTELLATION_DELIVERY="live",
    ) as pod:
        watcher = await js.connect(pod.chats_url, user=f"w{mine}")
        assert await asks(watcher, "watch-users", bob) == {"online": []}
        await js.connect(pod.chats_url, user=bob)
        await sees(watcher, (bob, "online"))
        assert await asks(watcher, "watch-users", bob) == {"online": [bob]}
