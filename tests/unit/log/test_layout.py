"""What is read out of entries, on a real Valkey."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from constellation_ws.redis_io.names import DEFAULT
from tests.unit.log.log_pods import (
    Pod,
    following,
)
from tests.waiting import PATIENCE_SECONDS, eventually


async def test_fields_in_any_order_and_more_of_them_are_read(redis: Redis) -> None:
    one = Pod(redis)
    async with following(one):
        await redis.xadd(DEFAULT.log, {"trace": "x", "data": "d", "channel": "c"})
        await redis.xadd(DEFAULT.log, {"nothing": "known"})
        await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "both")
    assert one.heard == [b"d", b""]


async def test_trace_context_in_fields_is_put_into_the_message(redis: Redis) -> None:
    context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    one = Pod(redis)
    async with following(one):
        variants: list[dict[Any, Any]] = [
            {"traceparent": context, "tracestate": "a=b"},
            {"traceparent": context, "at": "tick:1"},
            {"traceparent": "wrong"},
            {"at": "tick:1"},
        ]
        for fields in variants:
            await redis.xadd(DEFAULT.log, {"channel": "c", "data": '{"n":1}', **fields})
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "no object", "traceparent": context})
        await eventually(lambda: len(one.heard) == 5, PATIENCE_SECONDS, "all")
    assert one.heard == [
        b'{"n":1,"traceparent":"%b","tracestate":"a=b"}' % context.encode(),
        b'{"n":1,"traceparent":"%b"}' % context.encode(),
        b'{"n":1}',
        b'{"n":1}',
        b"no object",
    ]
