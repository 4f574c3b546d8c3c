"""The bytes of NestJS' TCP transport: frames, packets, patterns and replies.

Sans I/O: bytes in, values out, and back. Who may ask what, sockets and time live in `server`.

A frame is `<n>#<json>`. NestJS counts n as JavaScript counts a string, in UTF-16 code units:
neither bytes nor characters. An emoji is one character, two units and four bytes.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from constellation_ws.messages import half_pairs, trace_context
from constellation_ws.messages.events import slice_object

NO_MESSAGE_HANDLER = "There is no matching message handler defined in the remote service."
"""What NestJS answers for an unknown pattern (its constant of the same name), to the letter."""

_NON_ASCII = re.compile("[^\x00-\x7f]+")


class FramingFault(StrEnum):
    """Why a byte stream cannot be followed any further."""

    NOT_A_NUMBER = "not_a_number"
    TOO_LONG = "too_long"
    NOT_UTF8 = "not_utf8"
    SPLIT_CHARACTER = "split_character"
    INVALID_JSON = "invalid_json"


class FramingError(ValueError):
    """The stream is broken for good: nothing after this point can be trusted to be a frame."""

    def __init__(self, fault: FramingFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


class FrameDecoder:
    """Cuts one connection's bytes into JSON texts. Costs O(bytes), however small the chunks are."""

    __slots__ = ("_digits", "_max_digits", "_max_frame_bytes", "_missing", "_text", "_utf8")

    def __init__(self, max_frame_bytes: int) -> None:
        """`max_frame_bytes` bounds one JSON text, counted as UTF-8."""
        self._max_frame_bytes = max_frame_bytes
        self._max_digits = len(str(max_frame_bytes))
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._digits = ""
        # Units that the text still lacks; None while its length is being read.
        self._missing: int | None = None
        self._text = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the texts that this chunk completes; consume it wholly before the next `feed`.

        The texts are UTF-8, not yet parsed. FramingError is raised at the place of the fault, after
        what came before it was yielded, wherever chunks were cut; then the decoder is spent.
        """
        chars, is_utf8 = self._decode(chunk)
        at = 0
        while at < len(chars):
            if self._missing is None:
                at += self._take_length(chars, at)
            else:
                at += self._take_text(chars, at, self._missing)
            if self._missing == 0:
                yield self._finish()
        if not is_utf8:
            raise FramingError(FramingFault.NOT_UTF8, "a frame is not UTF-8")

    @property
    def has_begun(self) -> bool:
        """Whether a frame has begun and not come to its end."""
        return self._missing is not None or bool(self._digits)

    def _decode(self, chunk: bytes) -> tuple[str, bool]:
        """What is good of the chunk, and whether that is all of it."""
        try:
            return self._utf8.decode(chunk), True
        except UnicodeDecodeError as error:
            return error.object[: error.start].decode(), False

    def _take_length(self, chars: str, at: int) -> int:
        """Read on in the length that may begin or go on at `at`; how many characters that took."""
        # Never looks further than a lawful length can reach: endless digits cost nothing.
        window = chars[at : at + self._max_digits + 1 - len(self._digits)]
        found, hash_sign, _ = window.partition("#")
        self._digits += found
        if not (self._digits.isdigit() and self._digits.isascii()):
            raise FramingError(FramingFault.NOT_A_NUMBER, "a frame does not begin with its length")
        if len(self._digits) > self._max_digits:
            raise self._too_long()
        if hash_sign:
            self._missing, self._digits = int(self._digits), ""
            # A unit takes at least a byte, so such a text is too long before it has come.
            if self._missing > self._max_frame_bytes:
                raise self._too_long()
        return len(found) + len(hash_sign)

    def _take_text(self, chars: str, at: int, missing: int) -> int:
        """Add to the text what belongs to it from `at` on; how many characters that was."""
        piece = chars[at : at + missing]
        units = len(piece)
        if not piece.isascii():
            piece, units = _first_units(piece, missing)
        self._missing = missing - units
        self._text += piece.encode()
        if len(self._text) > self._max_frame_bytes:
            raise self._too_long()
        return len(piece)

    def _finish(self) -> bytes:
        text = bytes(self._text)
        self._text.clear()
        self._missing = None
        return text

    def _too_long(self) -> FramingError:
        limit = f"a frame is longer than {self._max_frame_bytes} bytes"
        return FramingError(FramingFault.TOO_LONG, limit)


@dataclass(frozen=True, slots=True)
class Packet:
    """What a NestJS client sends: a request if it has an id, otherwise an event."""

    pattern: str | None
    """The plain name, whichever form it came in; None when no name can be made of it."""
    data: bytes
    """The raw JSON, so that 64-bit numbers stay exact; `null` when absent.

    The trace context of the packet's `metadata`, where there is one, has been put into it.
    """
    id: bytes | None
    """The raw JSON of the id, to be sent back as it is."""


class _Envelope(msgspec.Struct):
    pattern: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    """No part of NestJS's own packets: what a serializer of the application's adds."""


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    # NestJS matches the whole object: with a key more it is another pattern.
    cmd: str


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PATTERN = msgspec.json.Decoder(str | _Command)


def read_packet(text: bytes) -> Packet:
    """Read one frame's text. Raises FramingError when it is not a JSON object."""
    try:
        try:
            envelope = _ENVELOPE.decode(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            envelope = _read_leniently(text)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise FramingError(FramingFault.INVALID_JSON, str(error)) from error
    return Packet(
        pattern=_pattern_name(bytes(envelope.pattern)),
        data=_with_context(bytes(envelope.data) or b"null", bytes(envelope.metadata)),
        id=bytes(envelope.id) or None,
    )


def _read_leniently(text: bytes) -> _Envelope:
    """Read what msgspec refuses but JSON allows: half of a surrogate pair. Raises ValueError.

    Not U+FFFD in its place: what a handler refuses or carries is known only there.
    """
    slices = slice_object(text.decode())
    known = _Envelope.__struct_fields__
    return _Envelope(**{name: slices[name] for name in known if name in slices})


def _with_context(data: bytes, metadata: bytes) -> bytes:
    context = trace_context.read(metadata) if metadata else None
    return data if context is None else trace_context.put(data, context)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a NestJS server answers to a request."""

    id: str
    """The request's; empty where there is none."""
    response: bytes
    """The raw JSON of what the client's observable emits; `null` when absent."""
    failure: bytes | None
    """The raw JSON of what it raises; None where it raises nothing."""


class _Answer(msgspec.Struct):
    id: str | int = ""
    response: msgspec.Raw = msgspec.Raw(b"null")
    err: msgspec.Raw = msgspec.Raw(b"null")


_ANSWER = msgspec.json.Decoder(_Answer)


def read_reply(text: bytes) -> Reply:
    """Read one frame's text as a client does. Raises FramingError when it is no reply."""
    try:
        try:
            found = _ANSWER.decode(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Replaced and not carried: who reads answers needs texts, such as why it was refused.
            found = _ANSWER.decode(half_pairs.repaired(text))
    except (msgspec.DecodeError, RecursionError) as error:
        raise FramingError(FramingFault.INVALID_JSON, str(error)) from error
    failure = bytes(found.err)
    return Reply(str(found.id), bytes(found.response), None if failure == b"null" else failure)


def answer(packet_id: bytes, response: object) -> bytes:
    """The frame that makes the client's observable emit `response` and complete."""
    return encode({"response": response, "isDisposed": True, "id": msgspec.Raw(packet_id)})


def failure(packet_id: bytes) -> bytes:
    """The frame that makes the client's observable raise what NestJS says of a failed handler."""
    err = {"status": "error", "message": "Internal server error"}
    return encode({"err": err, "isDisposed": True, "id": msgspec.Raw(packet_id)})


def no_message_handler(packet_id: bytes) -> bytes:
    """The frame that makes the client's observable raise as for any pattern a service lacks."""
    return encode({"id": msgspec.Raw(packet_id), "status": "error", "err": NO_MESSAGE_HANDLER})


def encode(value: object) -> bytes:
    """A frame of `value`, escaped to ASCII: its units are then its bytes, whoever counts.

    Raises what msgspec raises for a value without a JSON form (TypeError, UnicodeEncodeError, ...).
    """
    text = msgspec.json.encode(value)
    if not text.isascii():
        text = _NON_ASCII.sub(_as_escapes, text.decode()).encode()
    return b"%d#%b" % (len(text), text)


def _pattern_name(raw: bytes) -> str | None:
    """The name in a string, in `{"cmd": name}`, or in a string that holds the JSON of either.

    `ClientProxy.send` sends the object itself, `emit` its stringified form.
    """
    name = _name_in(raw)
    if name is not None and name.startswith(("{", '"')):
        return _name_in(name) or name
    return name


def _name_in(text: bytes | str) -> str | None:
    try:
        pattern = _PATTERN.decode(text)
    except msgspec.DecodeError:
        return None
    return pattern.cmd if isinstance(pattern, _Command) else pattern


def _first_units(chars: str, limit: int) -> tuple[str, int]:
    """The longest beginning of at most `limit` UTF-16 units, and how many it has."""
    wide = chars.encode("utf-16-le")[: 2 * limit]
    try:
        return wide.decode("utf-16-le"), len(wide) // 2
    except UnicodeDecodeError as error:
        detail = "a frame's length ends inside a character"
        raise FramingError(FramingFault.SPLIT_CHARACTER, detail) from error


def _as_escapes(run: re.Match[str]) -> str:
    return json.dumps(run[0])[1:-1]
