"""Parses what a client sends by RFC 6455: bytes -> messages, in order.

Not here: frames that are sent (`frames`), closing, and timeouts.
"""

from __future__ import annotations

import codecs
from typing import Final

from constellation_ws.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    LAST,
    MAX_CONTROL_BYTES,
    PING,
    PONG,
    TEXT,
    CloseCode,
    may_be_sent,
)
from constellation_ws.websocket.header import MASKED, Header, Violation, protocol_error, read_header
from constellation_ws.websocket.received import Close, Failure, Ping, Pong, Received

MAX_FRAGMENTS: Final = 32_768
"""Frames of one message. A proxy that splits 1 MB at each TCP segment needs about 700."""
LOAD_BYTES: Final = 32_768
"""Payload that counts as one more frame, as unmasking and copying it costs as much."""


class Parser:
    """The incoming half of one connection. Not for concurrent use.

    When idle, it is three references. Otherwise it also holds what the client has not finished: at
    most `max_message_bytes` of payload and part of one header or control frame. The time is not
    limited here: while a message is incomplete its client cannot answer an Engine.IO ping, so the
    ping timeout closes the session.
    """

    __slots__ = ("_max_message_bytes", "_unfinished", "load")

    def __init__(self, max_message_bytes: int) -> None:
        """`max_message_bytes` is for all fragments together. Raises ValueError below 125."""
        if max_message_bytes < MAX_CONTROL_BYTES:
            raise ValueError(f"max_message_bytes must be at least {MAX_CONTROL_BYTES}")
        self._max_message_bytes = max_message_bytes
        self._unfinished: _Unfinished | None = None
        self.load = 0
        """Load of the last `feed`: one for each frame that began, even if it is empty, and one more
        for each LOAD_BYTES of their payload. How the bytes were split does not change the sum."""

    @property
    def is_between_messages(self) -> bool:
        """Whether no message and no frame is incomplete."""
        return self._unfinished is None

    def feed(self, data: bytes) -> list[Received]:
        """Return, in order, the messages that `data` completes. Raises nothing, whatever is sent.

        A `Close` or a `Failure` is the last one; what is fed after it is ignored.
        """
        # Nearly every call has one small, complete text frame: 0.6 us this way, 3 us the other.
        size = len(data) - 6
        if (
            self._unfinished is None
            and 0 <= size <= MAX_CONTROL_BYTES  # the longest length of one byte, too
            and data[0] == LAST | TEXT
            and data[1] == MASKED | size
        ):
            keys = (data[2:6] * 32)[:size]  # as in _unmask; its call would be a tenth of the time
            self.load = 1
            try:
                return [(int.from_bytes(data[6:]) ^ int.from_bytes(keys)).to_bytes(size).decode()]
            except UnicodeDecodeError:
                pass  # the other way finds it again, and reports it
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[Received]:
        unfinished = self._unfinished
        self.load = 0
        if unfinished is _OVER:
            return []
        if unfinished is None:
            unfinished = _Unfinished(self._max_message_bytes)
        received: list[Received] = []
        try:
            unfinished.feed(data, received)
        except Violation as violation:
            received.append(Failure(violation.code, violation.reason))
        self.load, unfinished.load = unfinished.load, 0
        if received and isinstance(received[-1], Close | Failure):
            self._unfinished = _OVER
        else:
            self._unfinished = None if unfinished.is_empty() else unfinished
        return received


class _Unfinished:
    """The incomplete part of what a client has sent: of a frame, of a message, or of both.

    Payload is unmasked into one buffer as it arrives. So many fragments use no more memory than
    one, and invalid text is refused before the rest has arrived.
    """

    __slots__ = (
        "_checked_bytes",
        "_fragments",
        "_frame_bytes_left",
        "_frame_is_last",
        "_mask",
        "_max_message_bytes",
        "_opcode",
        "_payload",
        "_unread",
        "load",
    )

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self.load = 0
        self._unread = b""  # of a header or of a control frame: 131 bytes at most
        self._opcode = CONTINUATION  # of the message that has begun, if one has
        self._fragments = 0
        self._payload = bytearray()
        self._checked_bytes = 0  # of the payload, seen to be whole UTF-8 characters
        self._mask = b""  # turned so that it starts with the next byte's key
        self._frame_bytes_left = 0
        self._frame_is_last = False

    def is_empty(self) -> bool:
        return not self._unread and self._opcode == CONTINUATION

    def feed(self, data: bytes, received: list[Received]) -> None:
        """Append what `data` completes. Raises Violation; what was appended before remains."""
        data = self._unread + data
        self._unread = b""
        at = 0
        while True:
            if not self._frame_bytes_left:
                header = read_header(data, at)
                if header is None:
                    break
                self._check_order(header)
                end = header.payload_at + header.payload_bytes
                if header.is_last and header.opcode and end <= len(data):
                    payload = _unmask(data[header.payload_at : end], header.mask)
                    self.load += 1 + header.payload_bytes // LOAD_BYTES
                    received.append(_message(header.opcode, payload))
                    if header.opcode == CLOSE:
                        return
                    at = end
                    continue
                if header.opcode >= CLOSE:
                    break
                self._begin_frame(header)
                at = header.payload_at
            at += self._add_payload(data[at : at + self._frame_bytes_left])
            if self._frame_bytes_left:
                return
            if self._frame_is_last:
                received.append(self._finish_message())
        self._unread = data[at:]

    def _check_order(self, header: Header) -> None:
        if header.opcode >= CLOSE:
            return  # control frames may come between the fragments of a message
        if header.opcode and self._opcode:
            raise protocol_error("a message begins inside a fragmented one")
        if not header.opcode and not self._opcode:
            raise protocol_error("a continuation frame continues nothing")
        if len(self._payload) + header.payload_bytes > self._max_message_bytes:
            reason = f"a message exceeds {self._max_message_bytes} bytes"
            raise Violation(CloseCode.MESSAGE_TOO_BIG, reason)

    def _begin_frame(self, header: Header) -> None:
        self.load += 1 + header.payload_bytes // LOAD_BYTES
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:
            reason = f"a message has more than {MAX_FRAGMENTS} fragments"
            raise Violation(CloseCode.POLICY_VIOLATION, reason)
        self._opcode = header.opcode or self._opcode
        self._mask = header.mask
        self._frame_bytes_left = header.payload_bytes
        self._frame_is_last = header.is_last

    def _add_payload(self, masked: bytes) -> int:
        """Add bytes of the current frame to the message, and return how many."""
        size = len(masked)
        self._payload += _unmask(masked, self._mask)
        self._frame_bytes_left -= size
        shift = size % 4
        self._mask = self._mask[shift:] + self._mask[:shift]
        if self._opcode == TEXT:
            self._check_text()
        return size

    def _check_text(self) -> None:
        # The first invalid byte fails; of a surrogate (ED A0 80) CPython needs the third one.
        try:
            _, size = codecs.utf_8_decode(self._payload[self._checked_bytes :], "strict", False)
        except UnicodeDecodeError as error:
            raise _invalid_text() from error
        self._checked_bytes += size

    def _finish_message(self) -> Received:
        message = _message(self._opcode, self._payload)
        self._opcode = CONTINUATION
        self._fragments = 0
        self._payload = bytearray()
        self._checked_bytes = 0
        return message


_OVER: Final = _Unfinished(0)
"""In every parser that has received a close frame or a violation."""


def _message(opcode: int, payload: bytes | bytearray) -> Received:
    """Return the value of a complete message or control frame. Raises Violation."""
    if opcode == TEXT:
        return _text(payload)
    if opcode == BINARY:
        return bytes(payload)
    if opcode == PING:
        return Ping(bytes(payload))
    if opcode == PONG:
        return Pong(bytes(payload))
    return _close(payload)


def _close(payload: bytes | bytearray) -> Close:
    if not payload:
        return Close(CloseCode.NO_STATUS, "")
    code, reason = int.from_bytes(payload[:2]), _text(payload[2:])
    if not may_be_sent(code):  # a single byte is never a code that may
        raise protocol_error("a close code is not valid")
    return Close(code, reason)


def _text(payload: bytes | bytearray) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _invalid_text() from error


def _unmask(payload: bytes, mask: bytes) -> bytes:
    # One XOR of big integers: half a microsecond up to 100 bytes. Four strided `bytes.translate`
    # take twice that there, the same at 1,000 bytes, and a third less only at a megabyte.
    size = len(payload)
    keys = (mask * ((size >> 2) + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)


def _invalid_text() -> Violation:
    return Violation(CloseCode.INVALID_DATA, "text is not valid UTF-8")
