"""Limits how much of one connection's data is parsed in one turn of the event loop.

Lives here: splitting reads into pieces, and pausing the transport. The HTTP and WebSocket protocols
inherit from this and parse the bytes.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

PIECE_BYTES = 1024
"""What is parsed before the limits are checked: 170 frames or 40 requests at most."""
TURN_BYTES = 16 * 1024
TURN_LOAD = 256
"""Limits of one turn of the loop for one connection, exceeded by up to one piece: 2 ms at worst. A
read of uvloop has up to 256,000 bytes, or 40,000 frames, and it reads up to 32 times in a row."""


class Reading(Enum):
    """Whether a connection's bytes are parsed."""

    ON = auto()
    HELD = auto()
    """Not now: what was parsed has not been handled yet."""
    OVER = auto()
    """Not any more: what still arrives is ignored."""


class BoundedReading(asyncio.Protocol):
    """A protocol that parses its bytes in order and in pieces, only some in each turn of the loop.

    The transport is paused while bytes wait here, so that they are one read at most.
    """

    __slots__ = ("_at", "_reading", "_transport", "_turn_is_due", "_unparsed")

    def begin_reading(self, transport: asyncio.Transport) -> None:
        """Begin. Must be called once, before `data_received`."""
        self._transport = transport
        self._reading = Reading.ON
        self._unparsed = b""
        self._at = 0  # what is before has been parsed
        self._turn_is_due = False

    def parse(self, piece: bytes) -> int:
        """Parse the next bytes, and return their load; one turn parses up to TURN_LOAD."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse small reads at once: nearly all are small."""
        if self._reading is Reading.OVER:
            return
        if len(data) <= PIECE_BYTES and not self._unparsed:
            self.parse(data)
            return
        self._unparsed, self._at = self.pop_unparsed() + data, 0
        if not self._turn_is_due:
            self._turn_is_due = True
            self._run_turn()

    def pause_reading(self) -> None:
        """Stop parsing and reading for now."""
        if self._reading is Reading.ON:
            self._reading = Reading.HELD
            self._pause_transport()

    def resume_reading(self) -> None:
        """Parse what was read, then read again."""
        if self._reading is Reading.HELD:
            self._reading = Reading.ON
            self._go_on()

    def stop_parsing(self) -> None:
        """Ignore what still arrives. It is read, so that the end of the connection is seen."""
        self._reading, self._unparsed, self._at = Reading.OVER, b"", 0
        self._resume_transport()

    def stop_reading(self) -> None:
        """Do not read any more: what still arrives stays in the kernel, and the client has to
        wait."""
        self._reading, self._unparsed, self._at = Reading.OVER, b"", 0
        self._pause_transport()

    def has_parsed_all(self) -> bool:
        """Return whether all that was read is parsed."""
        return not self._unparsed

    def pop_unparsed(self) -> bytes:
        """Remove and return what was read and not parsed."""
        unparsed, self._unparsed, self._at = self._unparsed[self._at :], b"", 0
        return unparsed

    def _run_turn(self) -> None:
        load, until = 0, min(len(self._unparsed), self._at + TURN_BYTES)
        while self._at < until and load < TURN_LOAD and self._may_parse():
            piece = self._unparsed[self._at : self._at + PIECE_BYTES]
            self._at += len(piece)
            load += self.parse(piece)
        self._turn_is_due = False
        self._go_on()

    def _go_on(self) -> None:
        """Parse what was read before more is read."""
        if self._at >= len(self._unparsed):
            self._unparsed, self._at = b"", 0
        if not self._may_parse():
            return
        if not self._unparsed:
            self._resume_transport()
            return
        self._pause_transport()
        if not self._turn_is_due:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._run_turn)

    def _may_parse(self) -> bool:
        return self._reading is Reading.ON and not self._transport.is_closing()

    def _pause_transport(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_transport(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
