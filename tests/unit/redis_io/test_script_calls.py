"""Calls of scripts, on a real Valkey that forgets them, restarts, hangs and objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from constellation_ws.redis_io import command_queue
from constellation_ws.redis_io.command_queue import Words
from constellation_ws.redis_io.link import FAULTS, Link, make_client, open_link
from constellation_ws.redis_io.script_calls import Call, Script, ScriptCalls
from tests.processes import Valkey
from tests.spawning import spawn
from tests.unit.redis_io.test_client import LOG, client_of, moving, on
from tests.valkeys import RedisCluster, lasting_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

PUSH = Script("return redis.call('RPUSH', KEYS[1], ARGV[1])")
READ = Script("return redis.call('LRANGE', KEYS[1], 0, -1)")
COUNT = 60
KEYS = [f"{{{LOG}}}:key {number}" for number in range(COUNT)]


def calls_of(redis: Redis, timeout_seconds: float = PATIENCE_SECONDS) -> ScriptCalls:
    return ScriptCalls(redis, spawn, [PUSH, READ], timeout_seconds)


def pushes(value: str, keys: list[str] = KEYS) -> list[Call]:
    return [PUSH.call(key, value) for key in keys]


@pytest.fixture
async def followed(cluster: RedisCluster) -> AsyncIterator[Redis]:
    async with client_of(cluster) as client:
        yield client
        await client.delete(*KEYS)


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The keys for which connections were opened."""
    opened: list[Any] = []
    original = open_link

    def counted(redis: Redis, on_replies: Any, *keys: str) -> Any:
        opened.append(keys)
        return original(redis, on_replies, *keys)

    monkeypatch.setattr(command_queue, "open_link", counted)
    return opened


async def test_replies_have_the_order_of_the_calls(redis: Redis) -> None:
    calls = calls_of(redis)
    await calls.carry_out([PUSH.call("a", "x"), PUSH.call("b", "y")])
    asked = [READ.call("b"), PUSH.call("a", "z"), READ.call("a"), READ.call("none")]
    assert await calls.carry_out(asked) == [[b"y"], 2, [b"x", b"z"], []]


async def test_what_is_called_together_is_one_write_even_at_first(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Words] = []
    original = Link.send_together

    def note(link: Link, *commands: Words) -> None:
        sent.append(tuple(words[0] for words in commands))
        original(link, *commands)

    monkeypatch.setattr(Link, "send_together", note)
    await redis.script_flush()
    await calls_of(redis).carry_out(pushes("x"))
    assert sent == [("SCRIPT", "SCRIPT"), ("EVALSHA",) * COUNT]


async def test_it_may_connect_before_anything_is_called(redis: Redis, links: list[Any]) -> None:
    calls = calls_of(redis)
    await redis.script_flush()
    calls.connect()

    async def is_loaded() -> bool:
        return bool((await redis.script_exists(PUSH.digest))[0])

    await eventually(is_loaded, PATIENCE_SECONDS, "the scripts are loaded")
    assert await calls.carry_out([PUSH.call("a", "x")]) == [1]
    assert len(links) == 1


async def test_scripts_that_redis_has_lost_are_loaded_again(redis: Redis) -> None:
    calls = calls_of(redis)
    assert await calls.carry_out([PUSH.call("a", "x")]) == [1]
    await redis.script_flush()
    assert await calls.carry_out([PUSH.call("a", "y"), READ.call("a")]) == [2, [b"x", b"y"]]


async def test_an_error_is_the_reply_to_its_call_alone(redis: Redis) -> None:
    await redis.set("text", "x")
    fault, reply = await calls_of(redis).carry_out([PUSH.call("text", "x"), PUSH.call("a", "x")])
    assert isinstance(fault, ResponseError)
    assert reply == 1


async def test_redis_may_refuse_scripts_and_accept_them_later(redis: Redis) -> None:
    await redis.script_flush()
    await redis.acl_setuser(
        "default", commands=["-script|load"], categories=["+@all"], enabled=True
    )
    calls = calls_of(redis)
    try:
        (fault,) = await calls.carry_out([PUSH.call("a", "x")])
        assert isinstance(fault, NoPermissionError)
        assert "script|load" in str(fault)
    finally:
        await redis.acl_setuser("default", categories=["+@all"], enabled=True)
    assert await calls.carry_out([PUSH.call("a", "x")]) == [1]


async def test_a_lost_connection_is_replaced_without_an_error(tmp_path: Path) -> None:
    with lasting_valkey(tmp_path) as valkey:
        async with make_client(valkey.url, retries=0) as redis:
            calls = calls_of(redis)
            assert await calls.carry_out([PUSH.call("a", "x")]) == [1]
            await redis.client_pause(60_000)
            waiting = asyncio.create_task(calls.carry_out([PUSH.call("a", "y")]))
            await asyncio.sleep(0.1)
            valkey.kill()
            valkey.start()
            assert await waiting in ([2], [3])
            valkey.stop()
            (fault,) = await calls.carry_out([PUSH.call("a", "z")])
            assert isinstance(fault, FAULTS)
            valkey.start()
            assert await calls.carry_out([READ.call("none")]) == [[]]


async def test_a_redis_that_hangs_is_not_asked_twice(redis: Redis, valkey: Valkey) -> None:
    calls = calls_of(redis, 0.3)
    await calls.carry_out([READ.call("a")])
    with valkey.hanging():
        faults = await calls.carry_out(pushes("x", ["a", "b"]))
    assert {type(fault) for fault in faults} == {TimeoutError}

    async def is_answered() -> bool:
        (reply,) = await calls.carry_out([READ.call("a")])
        return isinstance(reply, list)

    await eventually(is_answered, PATIENCE_SECONDS, "it is used again")
    assert await redis.llen("a") <= 1


async def test_calls_follow_their_keys_to_nodes_that_have_never_seen_the_script(
    cluster: RedisCluster, followed: Redis, links: list[Any]
) -> None:
    calls = calls_of(followed)
    for node in (cluster.owner, cluster.elsewhere):
        await on(node, "SCRIPT", "FLUSH")
    old, new = KEYS[:30], KEYS[30:]
    assert await calls.carry_out(pushes("1", old)) == [1] * 30
    async with moving(cluster) as move:
        await move.move(*old[:10])
        links.clear()
        assert await calls.carry_out(pushes("2")) == [2] * 30 + [1] * 30
        assert len(links) <= 3, "one connection serves all that is there already"
        assert await calls.carry_out(pushes("3")) == [3] * 30 + [2] * 30
    assert await calls.carry_out(pushes("4")) == [4] * 30 + [3] * 30
    expected = [[b"1", b"2", b"3", b"4"]] * 30 + [[b"2", b"3", b"4"]] * 30
    assert await calls.carry_out([READ.call(key) for key in (*old, *new)]) == expected
