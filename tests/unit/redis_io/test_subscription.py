"""What a subscription makes of what Redis sends."""

from __future__ import annotations

import hiredis
from redis.asyncio import Redis

from constellation_ws.redis_io.names import DEFAULT
from constellation_ws.redis_io.subscription import Subscription, Wanted
from tests.pod_parts import Listener

NOTHING = Wanted((), (), has_events=False)


async def test_a_push_that_is_no_message_is_passed_over(redis: Redis) -> None:
    # RESP3 servers announce their own news on any connection: maintenance, tracking.
    listener, parser = Listener(), hiredis.Reader()
    subscription = Subscription({}, DEFAULT, lambda *_: True, NOTHING)
    subscription.deliver_to(listener.receive)
    parser.feed(b">2\r\n$10\r\ninvalidate\r\n*0\r\n")
    parser.feed(b">4\r\n$6\r\nMOVING\r\n:1\r\n:15\r\n$9\r\nhost:6379\r\n")
    parser.feed(b">3\r\n$7\r\nmessage\r\n$8\r\nchat:new\r\n$2\r\n{}\r\n")
    parser.feed(b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$1\r\nx\r\n")
    subscription._receive(parser)
    assert listener.batches == [[(b"chat:new", b"{}"), (b"ab", b"x")]]
