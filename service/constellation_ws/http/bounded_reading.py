"""Limits how much of the event loop's time it takes to parse what one connection sends.

Lives here: splitting reads into pieces, waiting for a turn, and pausing the transport. The HTTP and
WebSocket protocols inherit from this and parse the bytes.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from constellation_ws.runtime.share import PER_CONNECTION
from constellation_ws.runtime.turn_queue import TurnQueue

PIECE_BYTES = 1024
"""What is parsed before the limits are checked: 170 frames or 40 requests at most."""
TURN_BYTES = 16 * 1024
TURN_LOAD = 64
"""Limits of one turn of one connection, exceeded by up to one piece: 1 ms at worst. A read of
uvloop has up to 256,000 bytes, or 40,000 frames, and it reads up to 32 times in a row."""


class Reading(Enum):
    """Whether a connection's bytes are parsed."""

    ON = auto()
    HELD = auto()
    """Not now: what was parsed has not been handled yet."""
    OVER = auto()
    """Not any more: what still arrives is ignored."""


class BoundedReading(asyncio.Protocol):
    """A protocol that parses its bytes in order and in pieces, in turns that all connections share.

    The transport is paused while bytes wait here, so that they are one read at most. It is paused
    too while the connection has used more than its share of the time.
    """

    __slots__ = (
        "_at",
        "_free_at",
        "_reading",
        "_transport",
        "_turn_is_due",
        "_turns",
        "_unparsed",
    )

    def begin_reading(self, transport: asyncio.Transport, turns: TurnQueue) -> None:
        """Begin. Must be called once, before `data_received`."""
        self._transport = transport
        self._turns = turns
        self._reading = Reading.ON
        self._unparsed = b""
        self._at = 0  # what is before has been parsed
        self._turn_is_due = False
        self._free_at = 0.0  # when more of its share may be used

    def parse(self, piece: bytes) -> int:
        """Parse the next bytes, and return their load; one turn parses up to TURN_LOAD."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse a small read at once, unless others wait: nearly all are small."""
        if self._reading is Reading.OVER:
            return
        turns = self._turns
        if len(data) <= PIECE_BYTES and not self._unparsed and not self._turn_is_due:
            began = turns.clock()
            if turns.may_begin(began):
                self.parse(data)
                ended = turns.clock()
                turns.note(began, ended)
                self._free_at = PER_CONNECTION.free_at(self._free_at, began, ended)
                if self._free_at > ended:
                    self._go_on()
                return
        self._unparsed, self._at = self.pop_unparsed() + data, 0
        self._go_on()

    def eof_received(self) -> bool:
        """Close when it has its turn. True means that the transport stays open until then."""
        self._turns.put_end(self.close_at_end)
        return True

    def close_at_end(self) -> None:
        """Close: the client does not send any more."""
        self._transport.close()

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

    def _run_turn(self) -> bool:
        clock = self._turns.clock
        began, load = clock(), 0
        until = min(len(self._unparsed), self._at + TURN_BYTES)
        while self._at < until and load < TURN_LOAD and self._may_parse():
            piece = self._unparsed[self._at : self._at + PIECE_BYTES]
            self._at += len(piece)
            load += self.parse(piece)
        self._free_at = PER_CONNECTION.free_at(self._free_at, began, clock())
        self._turn_is_due = False
        self._go_on()
        return False

    def _go_on(self) -> None:
        """Parse what was read before more is read, and read more while the share permits it."""
        if self._at >= len(self._unparsed):
            self._unparsed, self._at = b"", 0
        if not self._may_parse():
            return
        wait_seconds = self._free_at - self._turns.clock()
        if not self._unparsed and wait_seconds <= 0:
            self._resume_transport()
            return
        self._pause_transport()
        if self._turn_is_due:
            return
        self._turn_is_due = True
        if wait_seconds > 0:
            self._turns.count_pause()
            asyncio.get_running_loop().call_later(wait_seconds, self._wait_for_turn)
        else:
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        self._turns.put(self._run_turn, is_rest=self._at > 0)

    def _may_parse(self) -> bool:
        return self._reading is Reading.ON and not self._transport.is_closing()

    def _pause_transport(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_transport(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
