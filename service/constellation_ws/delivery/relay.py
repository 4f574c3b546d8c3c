"""The story of one event, read downwards: take, decode and route, encode once, write, report.

Nothing else in the service moves a message. All of it is `def`: between its lines nobody else runs,
so what one batch brings keeps its order on every socket.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import structlog
from opentelemetry.trace import INVALID_SPAN, Span, use_span

from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.delivery.effects import Asked, Effect, MembershipEnded, Moved
from constellation_ws.delivery.fanout import Fanout
from constellation_ws.delivery.paths import USUAL_MISSES, Path
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.delivery.routes import RoutedEvent, Table
from constellation_ws.delivery.timing import Timing
from constellation_ws.log.layout import Logged
from constellation_ws.messages import commands
from constellation_ws.messages.commands import (
    Disconnect,
    DisconnectAll,
    Emit,
    Empty,
    Fence,
    Handover,
    Inspect,
    Join,
    Leave,
    ListMembers,
    Regroup,
)
from constellation_ws.messages.events import EventTooLarge, MalformedEvent
from constellation_ws.messages.frames import encode_emit, encode_event
from constellation_ws.messages.namespaces import DEFAULT_NAMESPACES, Namespaces
from constellation_ws.messages.redis_emitter import (
    DEFAULT_EMITTERS,
    EmitterChannels,
    Unsupported,
)
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.no_tracing import NO_TRACING, NoTracing
from constellation_ws.observability.tracing import Passed, Tracing
from constellation_ws.observability.unsupported import UnsupportedMessages
from constellation_ws.redis_io.bus import Published
from constellation_ws.redis_io.names import DEFAULT

logger = structlog.get_logger(__name__)

_EMITTED = "emitted"
"""The deliveries' label for events that a caller named: callers must not make labels."""
_COMMANDS = DEFAULT.commands
"""What commands are called in traces, whatever prefix their channel has."""


class Relay:
    """Carries what Redis brings to the sockets of this pod."""

    def __init__(
        self,
        table: Table,
        rooms: Rooms,
        fanout: Fanout,
        metrics: Metrics,
        *,
        max_event_bytes: int,
        tracing: Tracing | NoTracing = NO_TRACING,
        emitters: EmitterChannels = DEFAULT_EMITTERS,
        namespaces: Namespaces = DEFAULT_NAMESPACES,
    ) -> None:
        """With a `tracing` that is on, the table must be a traced one."""
        self._routes = {
            channel.encode(): Path(channel, route, metrics) for channel, route in table.items()
        }
        self._rooms = rooms
        self._fanout = fanout
        self._metrics = metrics
        self._max_event_bytes = max_event_bytes
        self._reader = CommandReader(emitters, namespaces, max_event_bytes)
        self._unsupported = UnsupportedMessages(metrics)
        self._emitted = metrics.deliveries.of(_EMITTED)
        self._timing = Timing(metrics)
        self._time = self._timing.count
        self._tracing = tracing
        self._is_traced = tracing.is_on  # asked for each delivery
        self._effects: list[Effect] = []

    def deliver(self, batch: list[Published]) -> list[Effect]:
        """Deliver one read from Redis, in its order. A broken message costs itself only.

        Returns what others have to do, in its order.
        """
        self._begin_batch()
        for channel, payload in batch:
            self._pass_on(channel, payload, b"")
        return self._end_batch(len(batch), b"", 0.0)

    def deliver_logged(self, batch: list[Logged], age_seconds: float) -> list[Effect]:
        """Deliver one read from the log, as `take`; its newest entry was so old then."""
        self._begin_batch()
        for offset, channel, payload in batch:
            self._pass_on(channel, payload, offset)
        return self._end_batch(len(batch), batch[-1][0], age_seconds)

    def read(self, channel: bytes, payload: bytes) -> RoutedEvent | commands.Command | None:
        """Say what an entry of the log means to those who were away; None for nothing."""
        if len(payload) > self._max_event_bytes:
            return None
        known = self._routes.get(channel)
        try:
            if known is not None:
                route = known.route
                return None if route.is_volatile else route.route(payload)
            command = self._reader.read(channel, payload)
        except MalformedEvent:
            return None
        return None if isinstance(command, Emit) and command.is_volatile else command

    def _begin_batch(self) -> None:
        self._timing.begin()
        self._tracing.begin_batch()

    def _end_batch(self, events: int, newest: bytes, age_seconds: float) -> list[Effect]:
        self._fanout.flush()
        self._timing.end(newest, age_seconds)
        self._tracing.end_batch(events)
        effects = self._effects
        if effects:
            self._effects = []
        return effects

    def _pass_on(self, channel: bytes, payload: bytes, offset: bytes) -> None:
        known = self._routes.get(channel)
        if len(payload) > self._max_event_bytes:
            self._drop_too_large(known, channel, payload, offset)
        elif known is not None:
            self._relay(known, payload, offset)
        else:
            self._receive_command(channel, payload, offset)

    def _relay(self, path: Path, payload: bytes, offset: bytes) -> None:
        if path.misses > USUAL_MISSES and path.is_for_nobody(payload, self._rooms):
            path.no_recipient.value += 1
            return
        try:
            message = path.route.route(payload)
        except MalformedEvent as error:
            path.malformed.value += 1
            with use_span(self._drop(path, "malformed", payload, offset)):
                logger.warning("dropped a malformed event", channel=path.channel, reason=str(error))
            return
        if message is None:
            path.nothing_to_send.value += 1
            self._drop(path, "nothing_to_send", payload, offset)
            return
        if message.invalid_ids:
            self._count_invalid_ids(path.channel, message.invalid_ids)
        audience = self._rooms.audience(message.rooms, message.except_rooms)
        if audience:
            frame = encode_event(message.event, message.body, offset, message.namespace)
            self._fanout.add(frame, audience)
            path.delivered.value += 1
            path.deliveries.value += len(audience)
            self._time(offset)
            if self._is_traced and self._tracing.wants(message.traceparent):
                passed = Passed(path.channel, payload, offset)
                self._tracing.deliver(message.event, passed, message.rooms, frame, audience)
                self._show_trace(offset)
        else:
            path.no_recipient.value += 1
            path.misses += 1
            if message.traceparent is not msgspec.UNSET:
                self._drop(path, "no_recipient", payload, offset)
        if message.empties or message.removals:
            self._fanout.flush()
            for room in message.empties:
                self._empty(room, offset)
            for removal in message.removals:
                self._remove(removal, offset)

    def _drop_too_large(
        self, path: Path | None, channel: bytes, payload: bytes, offset: bytes
    ) -> None:
        """Drop what would cost healthy recipients their connections."""
        span: Span = INVALID_SPAN
        if path is not None:
            path.too_large.value += 1
            span = self._drop(path, "too_large", payload, offset)
        else:
            self._metrics.commands.labels("too_large").inc()
        with use_span(span):
            logger.warning(
                "dropped an event that is too large",
                channel=self._reader.label(channel),
                bytes=len(payload),
                max_event_bytes=self._max_event_bytes,
            )

    def _count_invalid_ids(self, channel: str, count: int) -> None:
        self._metrics.invalid_ids.of(channel).value += count
        logger.warning("skipped recipients that are not ids", channel=channel, count=count)

    def _drop(self, path: Path, outcome: str, payload: bytes, offset: bytes) -> Span:
        """Record that an event goes to nobody here."""
        return self._tracing.drop(Passed(path.channel, payload, offset), outcome)

    def _show_trace(self, offset: bytes) -> None:
        exemplar = self._tracing.take_exemplar()
        if exemplar:
            self._timing.trace(exemplar, offset)

    def _empty(self, room: str, offset: bytes) -> None:
        self._effects.append(MembershipEnded(room, None))
        self._note_moved(self._rooms.empty(room), room, offset, is_in=False)

    def _remove(self, removal: Leave, offset: bytes) -> None:
        self._effects.append(MembershipEnded(removal.room, removal.who))
        gone = self._rooms.leave_all(self._rooms.members(removal.who), removal.room)
        self._note_moved(gone, removal.room, offset, is_in=False)

    def _note_moved(
        self, members: Collection[Member], room: str, offset: bytes, *, is_in: bool
    ) -> None:
        if members:
            self._effects.append(Moved(members, room, offset, is_in))

    def _receive_command(self, channel: bytes, payload: bytes, offset: bytes) -> None:
        try:
            command = self._reader.read(channel, payload)
        except EventTooLarge:
            self._drop_too_large(None, channel, payload, offset)
            return
        except MalformedEvent as error:
            self._metrics.commands.labels("malformed").inc()
            logger.warning("dropped a malformed command", reason=str(error))
            return
        if command is None:
            self._unsupported.note(Unsupported.NAMESPACE)
            return
        self._metrics.commands.labels(type(command).__name__.lower()).inc()
        if isinstance(command, Emit) and command.invalid_ids:
            self._count_invalid_ids(self._reader.label(channel), command.invalid_ids)
        self._execute(command, payload, offset)

    def _execute(self, command: commands.Command, payload: bytes, offset: bytes) -> None:
        if isinstance(command, Emit):
            self._emit(command, payload, offset)
            return
        self._fanout.flush()  # what came before goes to those who were in the room then
        match command:
            case Join(who, room):
                come = self._rooms.enter_all(self._rooms.members(who), room)
                self._note_moved(come, room, offset, is_in=True)
            case Leave():
                self._remove(command, offset)
            case Empty(room):
                self._empty(room, offset)
            case Regroup():
                self._regroup(command, offset)
            case Disconnect() | DisconnectAll() | ListMembers() | Inspect() | Fence() | Handover():
                self._effects.append(command)

    def _regroup(self, command: Regroup, offset: bytes) -> None:
        # A copy: the answer may be a room that is left.
        members = list(self._rooms.audience(command.rooms, command.except_rooms))
        for room in command.enters:
            come = self._rooms.enter_all(members, room)
            self._note_moved(come, room, offset, is_in=True)
        for room in command.leaves:
            # Of everyone where it is not known of whom: what is forgotten is asked for again.
            for who in command.rooms or (None,):
                self._effects.append(MembershipEnded(room, who))
            gone = self._rooms.leave_all(members, room)
            self._note_moved(gone, room, offset, is_in=False)

    def _emit(self, command: Emit, payload: bytes, offset: bytes) -> None:
        audience = self._rooms.audience(command.rooms, command.except_rooms)
        if audience:
            frame = encode_emit(command, offset)
            self._fanout.add(frame, audience)
            self._emitted.value += len(audience)
            self._time(offset)
            if command.traceparent:
                passed = Passed(_COMMANDS, payload, offset)
                self._tracing.deliver(_EMITTED, passed, command.rooms, frame, audience)
                self._show_trace(offset)
        if command.ack is not None:
            sids = tuple(member.sid for member in audience)
            self._effects.append(Asked(command.ack, frozenset(command.rooms or ()), sids))
