"""What pods ask each other: those of an older release say less, and are understood."""

from __future__ import annotations

import msgspec
import pytest

from constellation_ws.console.questions import (
    PodStatus,
    Query,
    Seen,
    Tail,
    TopRooms,
    decode_query,
    encode,
)

STATUS = {
    "name": "pod-a",
    "version": "1.0.0",
    "python": "3.14",
    "uptime_seconds": 5.0,
    "phase": "serving",
    "failing": [],
    "websockets": 3,
    "polling": 2,
    "users": 4,
    "sockets": 5,
    "rooms": 6,
    "is_recorder": True,
    "is_durable": True,
    "redis_up": True,
    "redis_ms": 1.0,
    "loop_lag_ms": 1.0,
    "memory_bytes": 1,
    "memory_limit_bytes": 0,
    "is_overloaded": False,
}
"""As the first release had it."""
SEEN = {
    "number": 1,
    "id": "1-0",
    "seconds_ago": 0.5,
    "channel": "c",
    "outcome": "malformed",
    "bytes": 7,
}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (b'{"type":"tail","viewer":"v"}', Tail("v", {}, "", "", 100)),
        (b'{"type":"rooms","prefix":"p","limit":7}', TopRooms("p", 7, has_users=False)),
        (b'{"type":"rooms","prefix":"","limit":7,"color":"red"}', TopRooms("", 7, has_users=False)),
    ],
)
def test_a_question_of_another_release_is_understood(text: bytes, query: Query) -> None:
    assert decode_query(text) == query


def test_a_status_without_later_fields_has_nothing_in_them() -> None:
    status = msgspec.convert(STATUS, PodStatus)
    rates = (status.events, status.deliveries, status.connects, status.write_ms)
    assert rates == (0.0, 0.0, 0.0, 0.0)
    assert (status.lost_events, status.slow_consumers, status.pid) == (0, 0, 0)
    assert status.drain is None


def test_an_event_that_went_nowhere_has_no_rooms_and_recipients() -> None:
    seen = msgspec.convert(SEEN, Seen)
    assert (seen.rooms, seen.room_count, seen.recipients) == ([], 0, 0)


@pytest.mark.parametrize(("fields", "shape"), [(STATUS, PodStatus), (SEEN, Seen)])
def test_what_a_pod_has_nothing_of_does_not_travel(
    fields: dict[str, object], shape: type[msgspec.Struct]
) -> None:
    assert msgspec.json.decode(encode(msgspec.convert(fields, shape))) == fields
