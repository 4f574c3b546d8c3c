"""What becomes of one event on this pod, told without delivering it."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import msgspec
from msgspec.structs import replace

from constellation_ws.console.questions import Seen
from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.delivery.rooms import Rooms
from constellation_ws.delivery.routes import Table
from constellation_ws.messages.commands import Emit, read_array
from constellation_ws.messages.events import MalformedEvent

MAX_ROOMS = 8
MAX_TEXT_CHARS = 2_000
_MAX_NAME_CHARS = 128
_BETWEEN_PODS = tuple(
    b'{"type":"%b"' % kind for kind in (b"inspect", b"list_members", b"fence", b"handover")
)
"""How commands begin that no service and no emitter has sent."""


class Described(msgspec.Struct, frozen=True, gc=False):
    """An event, and what becomes of it. A struct: there may be a thousand a second."""

    id: str
    came_at: float
    """Monotonic seconds, on this pod."""
    channel: str
    size: int
    late_ms: float | None
    outcome: str = "delivered"
    event: str = ""
    namespace: str = ""
    all_rooms: Collection[str] = ()
    recipients: int = 0
    text: str | None = None

    def seen(self, number: int, now: float) -> Seen:
        """Give what is shown of it, under a number that its viewer has for it."""
        return Seen(
            number,
            self.id,
            round(now - self.came_at, 3),
            self.channel,
            self.outcome,
            self.size,
            self.event,
            self.namespace,
            list(islice(self.all_rooms, MAX_ROOMS)),
            len(self.all_rooms),
            self.recipients,
            self.late_ms,
            self.text,
        )


class Describing:
    """Describes events by the table and the rooms of this pod, as they are before the delivery."""

    def __init__(
        self,
        instance: str,
        table: Table,
        rooms: Rooms,
        reader: CommandReader,
        *,
        commands_channel: str,
        max_event_bytes: int,
        shows_text: bool,
    ) -> None:
        """`commands_channel` is that on which pods talk to each other."""
        self.instance = instance
        self._routes = {channel.encode(): (channel, route) for channel, route in table.items()}
        self._rooms = rooms
        self._reader = reader
        self._commands_channel = commands_channel.encode()
        self._max_event_bytes = max_event_bytes
        self._shows_text = shows_text

    def is_shown(self, channel: bytes, payload: bytes) -> bool:
        """Return whether it may be shown: what pods ask each other is not."""
        return channel != self._commands_channel or not payload.startswith(_BETWEEN_PODS)

    def age(self, offset: bytes, newest: bytes, age_seconds: float | None) -> float | None:
        """Give the age of an entry of a batch whose newest entry is so old."""
        if age_seconds is None or not offset:
            return None
        return age_seconds + (_milliseconds(newest) - _milliseconds(offset)) / 1_000

    def describe(
        self, entry: tuple[bytes, bytes, bytes], digest: int, age: float | None, now: float
    ) -> Described:
        """Describe what is about to be delivered."""
        offset, channel, payload = entry
        known = self._routes.get(channel)
        one = Described(
            offset.decode(errors="replace") or f"~{digest:08x}",
            now,
            known[0] if known else self._reader.label(channel),
            len(payload),
            None if age is None else round(age * 1_000, 1),
            text=_text(payload) if self._shows_text else None,
        )
        if len(payload) > self._max_event_bytes:
            return replace(one, outcome="too_large")
        try:
            if known is None:
                return self._describe_command(one, channel, payload)
            message = known[1].route(payload)
        except MalformedEvent:
            return replace(one, outcome="malformed")
        if message is None:
            return replace(one, outcome="nothing_to_send")
        audience = self._rooms.audience(message.rooms, message.except_rooms)
        return replace(
            one,
            event=message.event,
            namespace=message.namespace,
            all_rooms=message.rooms,
            recipients=len(audience),
            outcome="delivered" if audience else "no_recipient",
        )

    def _describe_command(self, one: Described, channel: bytes, payload: bytes) -> Described:
        command = self._reader.read(channel, payload)
        if not isinstance(command, Emit):
            name = "unsupported" if command is None else type(command).__name__.lower()
            return replace(one, event=name, outcome="command")
        audience = self._rooms.audience(command.rooms, command.except_rooms)
        return replace(
            one,
            event=str(msgspec.json.decode(read_array(command.args)[0]))[:_MAX_NAME_CHARS],
            namespace=command.namespace,
            all_rooms=command.rooms or (),
            recipients=len(audience),
            outcome="delivered" if audience else "no_recipient",
        )


def _milliseconds(offset: bytes) -> int:
    digits = offset.partition(b"-")[0]
    return int(digits) if digits.isdigit() else 0


def _text(payload: bytes) -> str:
    return payload[: 4 * MAX_TEXT_CHARS].decode(errors="replace")[:MAX_TEXT_CHARS]
