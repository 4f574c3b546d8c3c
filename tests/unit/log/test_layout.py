"""What is read out of entries, on a real Valkey."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from constellation_ws.log.layout import read_entries
from constellation_ws.log.packing import pack
from constellation_ws.log.pubsub_positions import Received, Run
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


PACKED = pack([Received(b"tick", n, b"c", b"%d" % n) for n in range(2)])


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_a_packed_entry_that_cannot_be_read_is_reported_if_a_recorder_wrote_it(
    redis: Redis, is_recorded: bool
) -> None:
    """Anything else is one malformed message, and the next one is delivered."""
    one = Pod(redis)
    async with following(one):
        at: dict[Any, Any] = {"at": "tick:1"} if is_recorded else {}
        epoch = one.log.epoch
        await redis.xadd(DEFAULT.log, {"packed": b"\x02" + PACKED[1:], **at})
        await redis.xadd(DEFAULT.log, {"channel": "c", "data": "next"})
        await eventually(lambda: len(one.heard) == 2, PATIENCE_SECONDS, "both")
        await eventually(one.is_current, PATIENCE_SECONDS, "it is current")
        assert one.heard == [b"", b"next"]
        assert (one.log.epoch != epoch) == is_recorded
    assert one.gaps == (["unreadable"] if is_recorded else [])


def test_entries_of_both_forms_are_read_in_their_order() -> None:
    content = read_entries(
        [
            (b"1-0", [b"channel", b"c", b"data", b"x", b"at", b"tick:9"]),
            (b"2-1", [b"packed", PACKED, b"at", b"tick:1"]),
            (b"3-0", [b"channel", b"c", b"data", b"y"]),
            (b"5-0", [b"packed", b""]),
        ]
    )
    assert content.logged == [
        (b"1-0", b"c", b"x"), (b"2-0", b"c", b"0"), (b"2-1", b"c", b"1"), (b"3-0", b"c", b"y"),
        (b"5-0", b"", b""),
    ]  # fmt: skip
    assert content.runs == [Run(b"tick", 9, 1), Run(b"tick", 0, 2)]
    assert [one.id for one in content.faults] == ["5-0"]
