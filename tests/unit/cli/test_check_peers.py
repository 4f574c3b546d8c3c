"""Whether the other pods can be reached, found out by proving to be one, on a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from constellation_ws.cli.check_peers import inspect_peers
from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.peers.directory import KEY_SECONDS, REFRESH_SECONDS
from constellation_ws.peers.link import IncomingLink
from constellation_ws.peers.wire import VERSION, Kind, frame
from constellation_ws.redis_io.names import DEFAULT
from tests.peer_lines import KEY, OTHER_KEY, challenge_frame
from tests.processes import HOST, Valkey


class Clock:
    """The module `time` of the check, which waits for nothing."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        assert seconds > REFRESH_SECONDS, "a pod that lives shows itself meanwhile"
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("constellation_ws.cli.check_peers.time", clock)
    return clock


@pytest.fixture
def known(valkey: Valkey, clock: Clock) -> Iterator[Redis]:
    """A Valkey in which there is a key, and no pod."""
    with Redis.from_url(valkey.url) as redis:
        redis.flushall()
        seconds, _ = _now(redis)
        redis.set(DEFAULT.peer_key(seconds // KEY_SECONDS), KEY)
        yield redis


def _now(redis: Redis) -> tuple[int, int]:
    found: Any = redis.time()
    return found


def register(redis: Redis, instance: str, port: int, *, host: str = HOST, entry: str = "") -> str:
    entry = entry or f"{instance} {VERSION} {host} {port}"
    redis.zadd(DEFAULT.peers, {entry: _now(redis)[0] + 15})
    return entry


@contextlib.asynccontextmanager
async def listening(factory: Callable[[], asyncio.BaseProtocol]) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(factory, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def a_pod(instance: str, key: bytes = KEY) -> Callable[[], IncomingLink]:
    def never(*_: object) -> None:
        raise AssertionError("check asks for nothing")

    return lambda: IncomingLink(instance, lambda: [key], never, lambda: None)


async def findings(redis: Redis) -> list[Finding]:
    found = await asyncio.to_thread(lambda: list(inspect_peers(redis, DEFAULT)))
    assert {finding.subject for finding in found} == {"peer"}
    return found


class Saying(asyncio.Protocol):
    """Somebody else who listens there."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._said)
        transport.close()


async def test_no_pod_is_no_fault(known: Redis) -> None:
    (finding,) = await findings(known)
    assert (finding.verdict, finding.detail) == (Verdict.OK, "no pod is registered now")


async def test_each_pod_that_proves_itself_is_fine(known: Redis) -> None:
    async with listening(a_pod("one")) as one, listening(a_pod("two")) as two:
        register(known, "one", one)
        register(known, "two", two)
        found = await findings(known)
    assert [finding.verdict for finding in found] == [Verdict.OK, Verdict.OK]
    for finding, (name, port) in zip(found, [("one", one), ("two", two)], strict=True):
        assert finding.detail.startswith(f"{name} at {HOST}:{port} answered in ")


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (a_pod("one", OTHER_KEY), "it closes the connection: it knows another key"),
        (a_pod("two"), "it closes the connection: it knows another key"),
        (lambda: Saying(b""), "it closes the connection"),
        (lambda: Saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "a frame of"),
        (lambda: Saying(frame(Kind.CHALLENGE, 0, b"\xff")), ""),
        (
            lambda: Saying(challenge_frame() + frame(Kind.WELCOME, 0, b"w" * 32)),
            "it is no pod of this deployment",
        ),
    ],
    ids=["another key", "another pod", "nobody", "HTTP", "garbage", "a forger"],
)
async def test_whoever_else_listens_there_is_found_out(
    known: Redis, clock: Clock, factory: Callable[[], asyncio.BaseProtocol], reason: str
) -> None:
    async with listening(factory) as port:
        _lives(clock, known, register(known, "one", port))
        (finding,) = await findings(known)
    assert finding.verdict is Verdict.FAILED
    assert f"one at {HOST}:{port} cannot be used: {reason}" in finding.detail
    assert "CONSTELLATION_PEER_ADDRESS" in finding.detail


async def test_an_address_where_nobody_listens_fails_while_its_pod_lives(
    known: Redis, clock: Clock
) -> None:
    async with listening(a_pod("one")) as port:
        pass
    _lives(clock, known, register(known, "one", port))
    (finding,) = await findings(known)
    assert finding.verdict is Verdict.FAILED
    assert "NetworkPolicy" in finding.detail


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "no-such-host.invalid"])
async def test_an_address_that_is_none_fails_and_the_other_pods_are_checked(
    known: Redis, clock: Clock, host: str
) -> None:
    async with listening(a_pod("one")) as port:
        _lives(clock, known, register(known, "a-wrong-one", 1, host=host))
        register(known, "one", port)
        found = await findings(known)
    assert [finding.verdict for finding in found] == [Verdict.FAILED, Verdict.OK]
    assert f"{host}:1 cannot be used" in found[0].detail


async def test_a_pod_that_has_just_ended_is_no_fault(known: Redis) -> None:
    async with listening(a_pod("one")) as port:
        pass
    register(known, "one", port)
    (finding,) = await findings(known)
    assert finding.verdict is Verdict.OK
    assert finding.detail == "one has ended and is about to be forgotten"


@pytest.mark.parametrize("entry", ["one 2 127.0.0.1 1", "one 1 127.0.0.1", "nonsense", "a 1 b ²"])
async def test_a_pod_of_another_release_is_not_asked(known: Redis, entry: str) -> None:
    register(known, "", 0, entry=entry)
    (finding,) = await findings(known)
    assert (finding.verdict, finding.detail) == (
        Verdict.OK,
        "a pod of another release is not asked",
    )


async def test_an_expired_entry_is_no_pod(known: Redis) -> None:
    known.zadd(DEFAULT.peers, {f"one {VERSION} {HOST} 1": _now(known)[0] - 1})
    (finding,) = await findings(known)
    assert finding.detail == "no pod is registered now"


async def test_a_redis_that_does_not_answer_is_a_warning() -> None:
    with Redis(host=HOST, port=1, socket_timeout=1) as redis:
        (finding,) = await findings(redis)
    assert finding.verdict is Verdict.WARNING
    assert finding.detail.startswith("not checked: ")


def _lives(clock: Clock, redis: Redis, entry: str) -> None:
    """Let a pod register itself again while the check waits for that."""
    clock.meanwhile = lambda: redis.zincrby(DEFAULT.peers, 1, entry)
