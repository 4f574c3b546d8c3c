"""python-socketio's own client with default transports behind a proxy, two pods."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.chaos.clients import Client, Kind
from tests.chaos.crowd import Record
from tests.chaos.deployment import now_ms
from tests.chaos.story import Entry
from tests.ingress.flow import flowing
from tests.ingress.proxies.table import running
from tests.ingress.trial import in_time
from tests.ingress.verdict import Bounds, report
from tests.processes import HOST, Gateway, Valkey
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

POD_COUNT = 2
CLIENTS = 12
EVENTS_PER_SECOND = 100
EVENTS_AFTERWARDS = 200
NAMESPACE = "/chats"
ROOM = "python-room"
DEFAULT = Kind("upgrading", has_offsets=False)


class PythonClient:
    """One client, and what it wrote down."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.numbers: set[int] = set()
        self._opened = now_ms()
        self._entries: list[Entry] = []
        self._errors: list[tuple[int, str]] = []
        self._socket = socketio.AsyncClient()
        for name, handler in {
            "connect": self._on_connect,
            "connect_error": self._on_error,
            "disconnect": self._on_disconnect,
            "*": self._on_event,
        }.items():
            self._socket.on(name, handler, namespace=NAMESPACE)

    async def connect(self) -> None:
        """Connect, and join a room."""
        self._opened = now_ms()
        auth = {"userId": self.client.user}
        await self._socket.connect(self.client.address, auth=auth, namespaces=[NAMESPACE])
        self._note("ask", "join", ROOM)
        answer = await self._socket.call("join-chat", {"chatId": ROOM}, namespace=NAMESPACE)
        assert answer == {"success": True, "data": {"chatId": ROOM}}
        self._note("joined", ROOM)

    def record(self) -> Record:
        transports = [(now_ms(), str(self._socket.transport()))]
        return Record(self.client, self._opened, self._entries, transports, self._errors)

    async def leave(self) -> None:
        await self._socket.disconnect()

    async def _on_connect(self) -> None:
        self._note("connect", self._socket.get_sid(NAMESPACE), None, False)

    async def _on_disconnect(self, reason: str) -> None:
        self._note("lost", reason)

    async def _on_error(self, data: object) -> None:
        self._errors.append((now_ms(), str(data)))

    async def _on_event(self, name: str, data: dict[str, Any], *_: object) -> None:
        self.numbers.add(data["timestamp"])
        self._note("event", data["timestamp"])

    def _note(self, what: str, *words: object) -> None:
        self._entries.append([what, now_ms(), *words])


async def test_python_clients_connect_upgrade_and_receive(
    pods: list[Gateway], valkey: Valkey, tmp_path: Path
) -> None:
    with running("caddy", tmp_path / "caddy") as proxy:
        await proxy.route_to([pod.ws_port for pod in pods])
        url = f"http://{HOST}:{proxy.port}"
        clients = [
            PythonClient(Client(f"python-{n}", DEFAULT, f"python-{n}", (ROOM,), url))
            for n in range(CLIENTS)
        ]
        users = [one.client.user for one in clients]
        async with flowing(valkey.port, users, [ROOM], EVENTS_PER_SECOND) as flow:
            await asyncio.gather(*(one.connect() for one in clients))
            await flow.goes_on(EVENTS_AFTERWARDS)
            last = await flow.last()
            await in_time(partial(all_have, clients, last), PATIENCE_SECONDS)
            seen = report(flow.ledger, [one.record() for one in clients], Bounds())
        await asyncio.gather(*(one.leave() for one in clients))

    assert seen.faults == []
    assert seen.connected == len(seen.upgrade_seconds) == CLIENTS


async def all_have(clients: list[PythonClient], number: int) -> bool:
    return all(number in one.numbers for one in clients)
