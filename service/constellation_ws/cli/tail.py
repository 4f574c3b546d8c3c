"""`tail`: the events as they pass, and whom each addresses. It writes nothing.

Of a deployment with a log the log is read, so PUBLISH counts no subscriber more. Only what is not
recorded (volatile channels, live delivery) is subscribed to. The channel of commands never is: pods
count its subscribers, and would wait for an answer of this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from redis import Redis

from constellation_ws.cli.log_tails import FurtherTail, LogTail
from constellation_ws.cli.redis_connection import Reach, node_of, required, same_redis
from constellation_ws.cli.reporting import warn
from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.delivery.routes import Table
from constellation_ws.interface.reading import closest
from constellation_ws.log.layout import Logged
from constellation_ws.messages import ids
from constellation_ws.messages.commands import EMITTER_CHANNEL, Command, Emit
from constellation_ws.messages.events import ChatId, MalformedEvent, UserId, chat_room, user_room
from constellation_ws.messages.redis_emitter import EmitterChannels
from constellation_ws.redis_io.names import Names

_BLOCK_SECONDS = 0.5
"""How late an event of Pub/Sub may be shown while the log is waited for."""


@dataclass(frozen=True, slots=True)
class Passed:
    """One event, and what becomes of it."""

    at: datetime
    log_id: str
    """Empty for what is not recorded."""
    channel: str
    event: str
    """Empty for what sends nothing."""
    namespace: str
    rooms: Sequence[str]
    except_rooms: Sequence[str]
    outcome: str
    """`sent`, or why nothing is sent."""
    payload: bytes

    def facts(self) -> Mapping[str, Any]:
        """Give all of it for programs; the payload as JSON where it is JSON."""
        text = self.payload.decode(errors="replace")
        try:
            payload: Any = msgspec.json.decode(text)
        except msgspec.DecodeError:
            payload = text
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "id": self.log_id or None,
            "channel": self.channel,
            "outcome": self.outcome,
            "event": self.event or None,
            "namespace": self.namespace or None,
            "rooms": list(self.rooms),
            "except": list(self.except_rooms),
            "payload": payload,
        }

    def to_line(self) -> str:
        """Write it for people."""
        to = ", ".join(self.rooms)
        but = f" except {', '.join(self.except_rooms)}" if self.except_rooms else ""
        what = f"{self.event} -> {to}{but}" if self.event else self.outcome
        text = self.payload.decode(errors="replace")
        return f"{self.at.astimezone():%H:%M:%S}  {self.channel}  {what}  {text}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are shown: all that match everything that is given."""

    user: UserId | None = None
    chat: ChatId | None = None
    channel: str | None = None
    """A channel, or a pattern as for PSUBSCRIBE."""

    def matches(self, passed: Passed) -> bool:
        """Return whether an event is shown. A room of a user or chat in any namespace counts."""
        if self.channel is not None and not _is_of(passed.channel, self.channel):
            return False
        rooms = [room.rpartition(",")[2] if room[:1] == "/" else room for room in passed.rooms]
        if self.user is not None and user_room(self.user) not in rooms:
            return False
        return self.chat is None or chat_room(self.chat) in rooms


def _is_of(channel: str, wanted: str) -> bool:
    """Return whether a channel is the wanted one, or one of the wanted pattern."""
    return channel == wanted or fnmatchcase(channel, wanted)


def doubt_of(
    wanted: str, table: Table, commands: str, emitters: EmitterChannels, *, keeps_log: bool
) -> str | None:
    """Say why nothing may ever come on a wanted channel, None where something can.

    It may have been recorded nevertheless: by a release with other routes, or by a producer.
    """
    if wanted == commands and not keeps_log:
        return "with live delivery tail does not receive commands: pods count their subscribers"
    begun = [pattern.removesuffix("*") for pattern in emitters.patterns]
    known = [*table, commands, EMITTER_CHANNEL, *begun]
    # What an emitter's channels end with is not known: a pattern for that is not judged.
    if emitters.own(wanted) or wanted[0] in "*?[" or any(_is_of(one, wanted) for one in known):
        return None
    hint = closest(wanted, list(table))
    routes = f"{' The' if hint else '; the'} routes have {', '.join(sorted(table))}"
    return f"no route has a channel {wanted!r}{hint}{routes}"


class Reader:
    """Says what becomes of a message, as every pod does."""

    def __init__(self, table: Table, commands: CommandReader) -> None:
        self._table = table
        self._commands = commands

    def read(self, at: datetime, log_id: str, channel: str, payload: bytes) -> Passed:
        """Route it."""
        event, namespace = "", ""
        rooms: Sequence[str] = ()
        hidden: Sequence[str] = ()
        outcome = "sent"
        try:
            if route := self._table.get(channel):
                if message := route.route(payload):
                    event, namespace = message.event, message.namespace
                    rooms, hidden = message.rooms, message.except_rooms
                else:
                    outcome = "its route sends nothing for this event"
            else:
                command = self._commands.read(channel.encode(), payload)
                outcome = "sent" if isinstance(command, Emit) else _name_of(command)
                if isinstance(command, Emit):
                    event, namespace = _event_of(command), command.namespace
                    rooms = command.rooms if command.rooms is not None else ("(everyone)",)
                    hidden, payload = command.except_rooms, bytes(command.args)
        except MalformedEvent as error:
            outcome = f"dropped: {error}"
        return Passed(at, log_id, channel, event, namespace, rooms, hidden, outcome, payload)


def _name_of(command: Command | None) -> str:
    """Describe a command that sends nothing."""
    if command is None:
        return "dropped: for a namespace that is not served"
    return str(command)


def _event_of(command: Emit) -> str:
    name: object = ids.loads(bytes(command.args).decode())[0]  # whatever else the arguments hold
    return str(name).encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Live:
    """What is subscribed to because it is not in the log."""

    channels: Sequence[str]
    patterns: Sequence[str]


def unrecorded(table: Table, patterns: Sequence[str], *, keeps_log: bool) -> Live:
    """Name what the log lacks; `patterns` are those of Socket.IO emitters."""
    if keeps_log:
        return Live(sorted(name for name, route in table.items() if route.is_volatile), ())
    return Live([*sorted(table), EMITTER_CHANNEL], patterns)


def follow(
    redis: Redis,
    names: Names,
    reader: Reader,
    live: Live,
    *,
    since_seconds: float,
    until: float,
    reach: Reach = same_redis,
    report: Callable[[str], None] = warn,
) -> Iterator[Passed]:
    """Yield events as they pass, until a monotonic time; `since_seconds` before now come first.

    The log is read with live delivery too: producers may write to it. `reach` reaches its other
    partitions, of which one is read after the other; one that is away is reported. Raises
    RedisFailed.
    """
    asked: Any = redis
    with ExitStack() as held:
        held.enter_context(required(f"The events cannot be read from {node_of(redis)}"))
        subscription = held.enter_context(asked.pubsub())
        if live.channels:
            subscription.subscribe(*live.channels)
        if live.patterns:
            subscription.psubscribe(*live.patterns)
        tails: list[LogTail | FurtherTail] = [LogTail(asked, names, since_seconds)]
        for number in range(1, int(asked.hget(names.state, "partitions") or 1)):
            others = names.of_partition(number)
            further = FurtherTail(redis, others, reach, since_seconds, report)
            held.enter_context(further.opened())
            tails.append(further)
        while (left := until - time.monotonic()) > 0:
            block_ms = max(1, int(min(left, _BLOCK_SECONDS) * 1000 / len(tails)))
            for tail in tails:
                for logged in tail.read(block_ms):
                    yield _passed(reader, logged)
            if live.channels:
                yield from _published(reader, subscription)


def _passed(reader: Reader, logged: Logged) -> Passed:
    log_id, channel, data = logged
    text = log_id.decode()
    at = datetime.fromtimestamp(int(text.partition("-")[0]) / 1000, UTC)
    return reader.read(at, text, channel.decode(errors="replace"), data)


def _published(reader: Reader, subscription: Any) -> Iterator[Passed]:
    while message := subscription.get_message():
        if message["type"] in ("message", "pmessage"):
            channel = message["channel"].decode(errors="replace")
            yield reader.read(datetime.now(UTC), "", channel, message["data"])
