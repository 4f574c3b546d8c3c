"""How much of what one connection sends is parsed in one turn of the event loop.

Lives here: cutting reads into pieces, and when the transport is read again. What the bytes mean is
known to the protocols that are made of this: HTTP and WebSocket.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

PIECE_BYTES = 1024
"""What is parsed before the sums are looked at: 170 frames or 40 requests at most."""
TURN_BYTES = 16 * 1024
TURN_LOAD = 256
"""What one turn of the loop parses for one connection, and a piece more: 2 ms at worst. A read of
uvloop's holds up to 256,000 bytes, forty thousand frames, and it reads up to 32 times in a row."""


class Reading(Enum):
    """Whether a connection's bytes are parsed."""

    ON = auto()
    HELD = auto()
    """Not now: what was parsed is still to be handled."""
    OVER = auto()
    """Never again: what still comes is ignored."""


class BoundedReading(asyncio.Protocol):
    """A protocol whose bytes are parsed in order and by the piece, and the rest a turn later.

    Nothing is read from the transport while bytes wait here, so these are at most one read.
    """

    __slots__ = ("_at", "_reading", "_transport", "_turn_is_due", "_unparsed")

    def begin_reading(self, transport: asyncio.Transport) -> None:
        """Be ready for bytes. To be called once, before `data_received`."""
        self._transport = transport
        self._reading = Reading.ON
        self._unparsed = b""
        self._at = 0  # what is before has been parsed
        self._turn_is_due = False

    def parse(self, piece: bytes) -> int:
        """Parse the next bytes, and say what they count for; TURN_LOAD is what one turn bears."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse small reads at once, which is nearly all of them."""
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
        """Let the client wait."""
        if self._reading is Reading.ON:
            self._reading = Reading.HELD
            self._pause_transport()

    def resume_reading(self) -> None:
        """Go on with what was read, and then read on."""
        if self._reading is Reading.HELD:
            self._reading = Reading.ON
            self._go_on()

    def stop_parsing(self) -> None:
        """Ignore what still comes. It is read all the same, so that its end is seen."""
        self._reading, self._unparsed, self._at = Reading.OVER, b"", 0
        self._resume_transport()

    def stop_reading(self) -> None:
        """Leave in the kernel what still comes: the client has to stop or to wait."""
        self._reading, self._unparsed, self._at = Reading.OVER, b"", 0
        self._pause_transport()

    def has_parsed_all(self) -> bool:
        """Tell whether nothing that was read waits to be parsed."""
        return not self._unparsed

    def pop_unparsed(self) -> bytes:
        """Hand over what was read and not parsed."""
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
        """Parse what was read before anything else is read."""
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
