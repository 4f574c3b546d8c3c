"""How events get from Pub/Sub into the log."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from constellation_ws.log import append_scripts, state
from constellation_ws.log.appender import Appender
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.recording import recorder
from constellation_ws.recording.inquiry import Inquiry
from constellation_ws.redis_io import bus
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.redis_io.endpoint import Endpoint
from constellation_ws.redis_io.link import Link
from tests.simulation.mutations.kinds import Mutation


def first_discarded() -> None:
    """The tick of a subscription comes late, and what is received before it is not retained."""
    receive, send = Unrecorded.receive, Link.send_together

    def discard(self: Unrecorded, channel: bytes, payload: bytes) -> None:
        if self.is_positioned:
            receive(self, channel, payload)

    def send_late(self: Link, *requests: Any) -> None:
        if requests[-1][0] != "PUBLISH":
            send(self, *requests)
            return
        send(self, *requests[:-1])
        asyncio.get_running_loop().call_later(0.3, send, self, requests[-1])

    Unrecorded.receive = discard  # type: ignore[method-assign]
    Link.send_together = send_late  # type: ignore[method-assign]


def unread_dropped() -> None:
    """A subscription that seems silent is dropped with what waits to be read."""
    bus._READ_SECONDS = 0.0
    await_end = RedisBus._await_end

    async def drop(self: RedisBus, current: Any, listener: Any) -> Any:
        left = await await_end(self, current, listener)
        if left is not None and not self.is_retired:
            await left.close()
        return None

    RedisBus._await_end = drop  # type: ignore[method-assign]


def recorded_twice() -> None:
    """What others have recorded is not compared with what this pod has received."""
    Unrecorded.compare = lambda self, runs: 0  # type: ignore[method-assign]
    Unrecorded.confirm_position = lambda self, position: 0  # type: ignore[method-assign]


def lease_elsewhere() -> None:
    """The lease is renewed on another connection than the one that appends."""
    recorder.ANSWER_SECONDS = 1e9  # type: ignore[attr-defined]
    make = Inquiry.make

    async def renew(self: Inquiry, appender: Appender, lease_id: str) -> bool:
        until = str(int((time.time() + 5) * 1000))
        await self._log._redis.hset(self._log._names.state, "until", until)
        return await make(self, appender, lease_id)

    Inquiry.make = renew  # type: ignore[method-assign]


def appended_again() -> None:
    """Commands that must not be repeated are repeated after an error."""
    client = Endpoint.client
    Endpoint.client = lambda self, *, retries: client(self, retries=5)  # type: ignore[method-assign]


def packed_for_all() -> None:
    """Entries are packed also while a pod lives that cannot read them."""
    check = "then can_read = false end"
    script = append_scripts.PERMIT_PACKING
    assert check in script, "the script has changed"
    state.PERMIT_PACKING = script.replace(check, "then end")  # type: ignore[attr-defined]


MUTATIONS = (
    Mutation(
        "first-discarded", "what a subscription brings before a late tick is discarded",
        "kill-pubsub", first_discarded,
    ),
    Mutation(
        "unread-dropped", "a paused process drops the subscription that it has not read",
        "pause-all", unread_dropped,
    ),
    Mutation(
        "recorded-twice", "a new recorder does not know what was recorded", "kill-recorder",
        recorded_twice,
    ),
    Mutation(
        "lease-elsewhere", "the lease is renewed on another connection than the appends'",
        "hold-append", lease_elsewhere,
    ),
    Mutation(
        "appended-again", "an XADD whose answer was lost is sent again",
        "hang", appended_again,
    ),
    Mutation(
        "packed-for-all", "entries are packed while a pod lives that cannot read them",
        "former-release", packed_for_all,
    ),
)  # fmt: skip
