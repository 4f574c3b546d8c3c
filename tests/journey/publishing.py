"""Publishing as the API does, and hearing all that came of it.

Lives here: the publisher's side, and the mark that shows a silence. Redis and the gateway keep the
order, so what has not come before a mark that was sent later will not come at all.
"""

import itertools
import json
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from tests.js_clients import JsClient, Received
from tests.nest_client import NestClient

SendMark = Callable[[str, str], Awaitable[object]]
"""Sends to a user (first) an event that carries a mark (second)."""

_marks = itertools.count(1)


class Publisher:
    """An ordinary Redis client."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def __call__(self, channel: str, message: object) -> None:
        """PUBLISH a text or bytes as they stand, anything else as JSON."""
        await self.redis.publish(channel, _text(message))

    async def burst(self, messages: list[tuple[str, object]]) -> None:
        """PUBLISH many in one go, in their order."""
        pipeline = self.redis.pipeline(transaction=False)
        for channel, message in messages:
            pipeline.publish(channel, _text(message))
        await pipeline.execute()

    async def mark(self, user: str, mark: str) -> None:
        """Send a mark the way that contract events go."""
        event = {"userId": user, "status": mark, "notifyUsers": [user], "timestamp": 0}
        await self("user:status", event)

    async def heard_by(self, *clients: JsClient) -> list[list[Received]]:
        """What each client has got since it was last asked, all that is under way included."""
        return await heard_by(self.mark, *clients)


def mark_over_tcp(nest: NestClient) -> SendMark:
    """Send marks behind the commands of a TCP connection."""

    async def send_mark(user: str, mark: str) -> None:
        data = {"userId": user, "event": "mark", "data": mark}
        assert await nest.ask("sendToUser", data) == {"accepted": True}

    return send_mark


async def heard_by(send_mark: SendMark, *clients: JsClient) -> list[list[Received]]:
    """Send a mark to the clients' users, and return what each client got before it."""
    mark = f"mark-{next(_marks)}-"
    for user in {client.user: None for client in clients if client.user is not None}:
        await send_mark(user, mark)
    return [await client.up_to(mark) for client in clients]


def _text(message: object) -> str | bytes:
    if isinstance(message, str | bytes):
        return message
    return json.dumps(message, ensure_ascii=False)
