"""Who the pods are and what they sign with, on a real Valkey."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from structlog.testing import capture_logs

from constellation_ws.peers import directory as directory_module
from constellation_ws.peers.directory import (
    KEY_SECONDS,
    LIFETIME_SECONDS,
    Directory,
    Peer,
    read_entry,
)
from constellation_ws.peers.proof import KEY_BYTES
from constellation_ws.peers.wire import VERSION
from constellation_ws.redis_io.link import make_client
from constellation_ws.redis_io.names import DEFAULT, Names
from tests.processes import running_valkey
from tests.waiting import PATIENCE_SECONDS, cancelled, eventually

_CLOCK = "local time = redis.call('TIME')"


class Counting:
    """A client of Redis whose exchanges are counted, and whose clock a test may set."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.exchanges = 0
        self.ahead_seconds = 0

    def register_script(self, script: str) -> Any:
        assert _CLOCK in script

        async def call(keys: list[str], args: list[Any]) -> Any:
            self.exchanges += 1
            ahead = f"{_CLOCK}; time[1] = time[1] + {self.ahead_seconds}"
            shifted = script.replace(_CLOCK, ahead)
            return await cast("Any", self._redis.eval(shifted, len(keys), *keys, *args))

        return call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)


@pytest.fixture
def client(redis: Redis) -> Counting:
    return Counting(redis)


def pod(client: Counting, name: str, port: int = 0, names: Names = DEFAULT) -> Directory:
    """A pod's directory; it listens where a port is named."""
    directory = Directory(cast("Redis", client), names, name)
    if port:
        directory.announce("10.0.0.1", port)
    return directory


async def look(*directories: Directory) -> None:
    """Let pods show themselves, then let all see them."""
    for directory in (*directories, *directories):
        directory._read_at = float("-inf")
        await directory.refresh()


@pytest.fixture
async def both(client: Counting) -> tuple[Directory, Directory]:
    a, b = pod(client, "a", 1), pod(client, "b", 2)
    await look(a, b)
    return a, b


# Entries


async def test_pods_find_each_other_and_not_themselves(both: tuple[Directory, Directory]) -> None:
    a, b = both
    assert a.peers == [Peer("b", "10.0.0.1", 2)]
    assert b.peers == [Peer("a", "10.0.0.1", 1)]
    assert await a.find("b") == Peer("b", "10.0.0.1", 2)
    assert await a.find("a") is None
    assert await a.find("c") is None


async def test_a_pod_counts_as_shown_once_the_others_have_had_time_to_see_it(
    client: Counting,
) -> None:
    a = pod(client, "a", 1)
    assert not a.is_shown
    await a.refresh()
    assert not a.is_shown
    await look(a)
    assert a.is_shown


async def test_a_pod_that_does_not_listen_sees_others_and_is_not_seen(client: Counting) -> None:
    a, silent = pod(client, "a", 1), pod(client, "silent")
    await look(silent, a)
    assert silent.peers == [Peer("a", "10.0.0.1", 1)]
    assert a.peers == []
    assert not silent.is_shown
    await silent.leave()


async def test_a_pod_that_has_left_is_not_found(both: tuple[Directory, Directory]) -> None:
    a, b = both
    await b.leave()
    await look(a)
    assert a.peers == []


async def test_a_pod_that_shows_itself_no_more_is_forgotten_by_the_clock_of_redis(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    a, _ = both
    client.ahead_seconds = LIFETIME_SECONDS - 2
    await look(a)
    assert [peer.instance for peer in a.peers] == ["b"]
    client.ahead_seconds = LIFETIME_SECONDS + 1
    await look(a)
    assert a.peers == []
    assert await client.zcard(DEFAULT.peers) == 1, "nor is its entry left over"


async def test_two_deployments_on_one_redis_do_not_meet(client: Counting) -> None:
    ours, theirs = pod(client, "a", 1), pod(client, "b", 2, Names("staging"))
    await look(ours, theirs)
    assert (ours.peers, theirs.peers) == ([], [])
    assert set(ours.keys).isdisjoint(theirs.keys)


@pytest.mark.parametrize(
    ("entry", "peer"),
    [
        (f"a {VERSION} 10.0.0.1 7757", Peer("a", "10.0.0.1", 7757)),
        (f"a {VERSION} fd00::1 1", Peer("a", "fd00::1", 1)),
        (f"a {VERSION + 1} 10.0.0.1 7757", None),
        (f"a {VERSION} 10.0.0.1 0", None),
        (f"a {VERSION} 10.0.0.1 65536", None),
        (f"a {VERSION} 10.0.0.1 -1", None),
        (f"a {VERSION} 10.0.0.1 ²", None),
        (f"a {VERSION} 10.0.0.1 ٣", None),
        (f"a {VERSION} 10.0.0.1 " + "1" * 5000, None),
        (f"a {VERSION} 10.0.0.1", None),
        (f"a {VERSION} 10.0.0.1 7757 more", None),
        ("", None),
    ],
)
def test_an_entry_is_a_pod_of_this_release_or_nothing(entry: str, peer: Peer | None) -> None:
    assert read_entry(entry.encode()) == peer


@given(st.binary() | st.text().map(lambda text: f"a {VERSION} h {text}".encode()))
def test_any_bytes_are_a_pod_or_nothing(entry: bytes) -> None:
    peer = read_entry(entry)
    assert peer is None or 0 < peer.port < 65_536


async def test_entries_that_are_none_do_not_hide_the_others(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    a, _ = both
    seconds, _ = cast("tuple[int, int]", await client.time())
    for entry in (b"\xff", b"", b"x 1 h \xc2\xb2", f"new {VERSION + 1} h 1 more".encode()):
        await client.zadd(DEFAULT.peers, {entry: seconds + 10})
    await look(a)
    assert [peer.instance for peer in a.peers] == ["b"]


# Looks


async def test_names_that_somebody_makes_up_cost_a_bounded_number_of_looks(
    client: Counting, both: tuple[Directory, Directory], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = both
    loop = asyncio.get_running_loop()
    now = loop.time() + 1_000
    monkeypatch.setattr(loop, "time", lambda: now)
    before = client.exchanges
    for number in range(10_000):
        now += 0.000_1  # a second for all of them
        assert await a.find(f"{number:08d}") is None
    assert client.exchanges - before <= 10


async def test_names_that_are_made_up_all_at_once_cost_one_look(
    client: Counting, both: tuple[Directory, Directory], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _ = both
    loop = asyncio.get_running_loop()
    now = loop.time() + 1_000
    monkeypatch.setattr(loop, "time", lambda: now)
    before = client.exchanges
    found = await asyncio.gather(*(a.find(f"{number:08d}") for number in range(10_000)))
    assert set(found) == {None}
    assert client.exchanges - before == 1


async def test_a_pod_that_is_known_is_found_without_a_look(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    a, _ = both
    before = client.exchanges
    for _ in range(100):
        assert await a.find("b") is not None
    assert client.exchanges == before


async def test_a_pod_that_has_just_come_is_found_at_the_first_request(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    a, _ = both
    await pod(client, "c", 3).refresh()
    a._read_at = float("-inf")
    assert await a.find("c") == Peer("c", "10.0.0.1", 3)


# Keys


async def test_all_pods_sign_with_one_key_and_accept_its_neighbours(
    both: tuple[Directory, Directory],
) -> None:
    a, b = both
    assert a.keys == b.keys
    assert len(set(a.keys)) == 2, "the current and the next one: there is no older one yet"
    assert {len(key) for key in a.keys} == {KEY_BYTES}


async def test_keys_change_without_a_gap(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    """Pods notice a new period at different moments: each always accepts what the other signs."""
    a, b = both
    current, following = a.keys
    client.ahead_seconds = KEY_SECONDS
    await look(a)
    assert a.keys[0] == following
    assert current in a.keys, "b still signs with it"
    assert following in b.keys, "a signs with it already"
    await look(b)
    assert a.keys == b.keys
    assert len(a.keys) == 3
    client.ahead_seconds = 2 * KEY_SECONDS
    await look(a)
    assert current not in a.keys


async def test_keys_do_not_outlive_their_time_in_redis(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    keys = [key async for key in client.scan_iter(DEFAULT.peer_key(0)[:-1] + "*")]
    assert len(keys) == 2
    for key in keys:
        assert 0 < await client.ttl(key) <= 3 * KEY_SECONDS


async def test_a_key_that_is_lost_is_made_again(
    client: Counting, both: tuple[Directory, Directory]
) -> None:
    a, b = both
    lost = a.keys
    await client.flushall()
    await look(a, b)
    assert a.keys == b.keys
    assert set(a.keys).isdisjoint(lost)
    assert [peer.instance for peer in a.peers] == ["b"]


# Redis away


async def test_what_is_known_stays_in_use_while_redis_is_away(tmp_path: Path) -> None:
    with running_valkey() as valkey:
        async with make_client(valkey.url, retries=0) as client:
            a, b = Directory(client, DEFAULT, "a"), Directory(client, DEFAULT, "b")
            a.announce("10.0.0.1", 1)
            b.announce("10.0.0.1", 2)
            await look(a, b)
            keys = a.keys
            valkey.stop()
            with capture_logs() as logs:
                await look(a)
                await look(a)
                assert await a.find("unknown") is None
                await a.leave()
            assert [one["log_level"] for one in logs].count("warning") == 1
            assert [peer.instance for peer in a.peers] == ["b"]
            assert a.keys == keys
            valkey.start()
            await eventually(lambda: _is_back(a, b), PATIENCE_SECONDS, "both show themselves again")


async def _is_back(a: Directory, b: Directory) -> bool:
    await look(a, b)
    return a.keys == b.keys


async def test_a_redis_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_module, "_REPLY_SECONDS", 0.05)
    with running_valkey() as valkey:
        async with make_client(valkey.url, retries=0) as client:
            a = Directory(client, DEFAULT, "a")
            a.announce("10.0.0.1", 1)
            await look(a)
            with valkey.hanging():
                async with asyncio.timeout(PATIENCE_SECONDS):
                    assert await a.find("unknown") is None
                    await a.leave()


async def test_it_goes_on_for_ever_and_says_so(client: Counting) -> None:
    steps: list[int] = []
    a = pod(client, "a", 1)
    task = asyncio.create_task(a.run(lambda: steps.append(client.exchanges)))
    try:
        await eventually(lambda: len(steps) >= 2, PATIENCE_SECONDS, "two steps")
        assert a.is_shown
    finally:
        await cancelled([task])
