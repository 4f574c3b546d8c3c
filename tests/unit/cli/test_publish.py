"""Doubts about an event that is about to be published. Publishing itself needs a Redis."""

from typing import Any

import pytest

from constellation_ws.cli import publish as publisher
from constellation_ws.cli.publish import NOBODY, doubt_of
from constellation_ws.cli.redis_connection import counts_all
from tests.event_cases import EventCase, event_cases
from tests.tables import compiled

TABLE = compiled()
MAX_EVENT_BYTES = 1_000_000
SENT = [case for case in event_cases() if case.event is not None]
NOT_SENT = [case for case in event_cases() if case.event is None]


@pytest.mark.parametrize("case", SENT, ids=lambda case: case.name)
def test_an_event_that_the_gateway_sends_raises_no_doubt(case: EventCase) -> None:
    assert doubt_of(TABLE, case.channel, case.publish.encode(), MAX_EVENT_BYTES) is None


@pytest.mark.parametrize("case", NOT_SENT, ids=lambda case: case.name)
def test_an_event_that_it_does_not_send_does(case: EventCase) -> None:
    assert doubt_of(TABLE, case.channel, case.publish.encode(), MAX_EVENT_BYTES)


@pytest.mark.parametrize(
    ("channel", "payload", "says"),
    [
        ("chat:mew", b'{"userId": 1}', "chat:new,"),
        ("chat:new", b"{", "not JSON"),
        ("chat:new", b"", "not JSON"),
        ("chat:new", b"[]", "not a JSON object"),
        ("chat:new", b"\xff", "not UTF-8"),
        ("chat:new", b'{"chatId": 1}', "lacks the keys"),
        ("chat:messageRead", b'{"userId": 1, "messageIds": []}', "sends nothing"),
        ("chat:new", b'{"userId": 1}'.ljust(MAX_EVENT_BYTES + 1), "has 1,000,001 bytes"),
    ],
)
def test_a_doubt_says_what_is_wrong(channel: str, payload: bytes, says: str) -> None:
    doubt = doubt_of(TABLE, channel, payload, MAX_EVENT_BYTES)

    assert doubt is not None
    assert says in doubt


class Counts:
    """A Redis that counts so many subscribers."""

    def __init__(self, subscribers: int) -> None:
        self._subscribers = subscribers
        self.published: list[bytes] = []

    def publish(self, channel: str, payload: bytes) -> int:
        self.published.append(payload)
        return self._subscribers


@pytest.mark.parametrize(
    ("url", "count", "said", "doubt"),
    [
        ("redis://host:6379/0", 2, 2, None),
        ("redis://host:6379/0", 0, 0, NOBODY),
        ("redis+sentinel://host:26379/0/main", 0, 0, NOBODY),
        # PUBLISH counts one node's subscribers: gateways may be subscribed elsewhere.
        ("redis+cluster://host:6379", 0, None, None),
        ("rediss+cluster://host:6379,host:6380", 1, None, None),
    ],
)
def test_nothing_is_said_of_subscribers_that_redis_does_not_count(
    url: str, count: int, said: int | None, doubt: str | None
) -> None:
    redis: Any = Counts(count)
    events = [("chat:new", b'{"userId": 1}')]

    (published,) = publisher.publish(
        redis,
        TABLE,
        events,
        counts_all=counts_all(url),
        max_event_bytes=MAX_EVENT_BYTES,
    )

    assert (published.subscribers, published.doubt) == (said, doubt)


def test_a_strict_publisher_holds_back_what_would_be_dropped() -> None:
    redis: Any = Counts(1)
    events = [("chat:new", event) for event in (b"{", b'{"userId": 1}', b"{}")]

    found = list(
        publisher.publish(
            redis,
            TABLE,
            events,
            counts_all=True,
            max_event_bytes=MAX_EVENT_BYTES,
            is_strict=True,
        )
    )

    assert redis.published == [b'{"userId": 1}']
    assert [one.is_published for one in found] == [False, True, False]
    assert [one.doubt is None for one in found] == [False, True, False]
    assert publisher.receipt(found[0]) == "chat:new: not published"
    assert found[1].facts() == {
        "channel": "chat:new",
        "published": True,
        "gateways": 1,
        "warning": None,
        "traceId": None,
    }
