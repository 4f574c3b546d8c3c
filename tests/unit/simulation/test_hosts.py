"""Virtual time, hosts, and connections between them."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from tests.simulation.determinism import determined
from tests.simulation.hosts import Host, Universe
from tests.simulation.network import Network


class Pair:
    """Two hosts; one echoes what the other one sends."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.universe = Universe("seed", lambda host, reason: self.reports.append(reason))
        self.network = Network()
        self.client = Host(self.universe, "a", "10.0.0.1", self.network)
        self.server = Host(self.universe, "b", "10.0.0.2", self.network)
        self.server.begin(self._serve())
        self.universe.run(0.1)

    async def _serve(self) -> None:
        await asyncio.get_running_loop().create_server(Echo, "10.0.0.2", 7000)

    def ask(self, seconds: float) -> asyncio.Task[bytes]:
        """Let the client send a word and wait for it to come back, and time pass."""
        task = self.client.begin(self._ask())
        self.universe.run(seconds)
        return task

    async def _ask(self) -> bytes:
        reader, writer = await asyncio.open_connection("10.0.0.2", 7000)
        writer.write(b"hello")
        try:
            return await reader.readexactly(5)
        finally:
            writer.close()


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


def test_time_passes_at_once() -> None:
    pair, began = Pair(), time.monotonic()
    waiting = pair.client.begin(asyncio.sleep(3_600))
    before = pair.universe.now
    pair.universe.run(4_000)
    assert waiting.done()
    assert pair.universe.now == before + 4_000
    assert time.monotonic() - began < 60


def test_bytes_cross_the_network() -> None:
    assert Pair().ask(1.0).result() == b"hello"


def test_a_port_without_listener_refuses() -> None:
    pair = Pair()
    task = pair.client.begin(asyncio.open_connection("10.0.0.2", 1))
    pair.universe.run(1)
    assert isinstance(task.exception(), ConnectionRefusedError)


def test_a_paused_host_accepts_and_answers_later() -> None:
    pair = Pair()
    pair.server.is_paused = True
    task = pair.ask(5.0)
    assert not task.done()
    pair.server.is_paused = False
    pair.universe.run(1.0)
    assert task.result() == b"hello"


def test_after_a_pause_timers_run_before_what_has_arrived_is_read() -> None:
    pair, seen = Pair(), list[bool]()
    pair.server.is_paused = True
    task = pair.ask(1.0)
    pair.server.call_later(1.0, lambda: seen.append(task.done()))
    pair.universe.run(5.0)
    pair.server.is_paused = False
    pair.universe.run(1.0)
    assert task.done()
    assert seen == [False]


def test_a_killed_host_resets_its_connections() -> None:
    pair = Pair()
    pair.server.is_paused = True
    task = pair.ask(1.0)
    pair.server.kill()
    pair.universe.run(1.0)
    assert isinstance(task.exception(), ConnectionResetError)


def test_a_held_direction_delivers_when_it_is_released() -> None:
    pair = Pair()
    pair.server.is_paused = True
    task = pair.ask(1.0)
    (connection,) = pair.network.between("a", "b")
    connection.hold("in")
    pair.server.is_paused = False
    pair.universe.run(10.0)
    assert not task.done()
    connection.release()
    pair.universe.run(1.0)
    assert task.result() == b"hello"


def test_a_cut_is_seen_by_both_ends() -> None:
    pair = Pair()
    pair.server.is_paused = True
    task = pair.ask(1.0)
    (connection,) = pair.network.between("a", "b")
    connection.cut()
    pair.universe.run(1.0)
    assert isinstance(task.exception(), ConnectionResetError)


def test_isolated_hosts_do_not_connect_until_they_are_rejoined() -> None:
    pair = Pair()
    pair.network.isolate("10.0.0.1", "10.0.0.2")
    task = pair.ask(30.0)
    assert not task.done()
    pair.network.rejoin("10.0.0.1", "10.0.0.2")
    pair.universe.run(3.0)
    assert task.result() == b"hello"


def test_a_full_pipe_pauses_its_writer() -> None:
    pair = Pair()
    pair.server.is_paused = True
    pair.ask(1.0)
    (connection,) = pair.network.between("a", "b")
    writer = connection.client
    for _ in range(5):
        writer.write(b"x" * 100_000)
    assert writer.get_write_buffer_size() == 200_000
    pair.server.is_paused = False
    pair.universe.run(1.0)
    assert writer.get_write_buffer_size() == 0


def test_unhandled_exceptions_are_reported() -> None:
    pair = Pair()

    def fail() -> None:
        raise ValueError("broken")

    pair.client.call_soon(fail)
    pair.universe.run(1.0)
    assert "broken" in pair.reports[0]


def test_clocks_and_chance_follow_from_the_seed() -> None:
    drawn = []
    for _ in range(2):
        universe = Universe("seed", lambda host, reason: None)
        with determined(universe):
            drawn.append((secrets.token_hex(8), time.time(), time.monotonic()))
    assert drawn[0] == drawn[1]
