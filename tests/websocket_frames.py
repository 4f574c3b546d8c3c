"""Frames as a client writes them, right or wrong: masked, and with every bit in the caller's hand.

Not here: what a server is to make of them.
"""

import itertools

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA

MASK = b"\x37\xfa\x21\x3d"


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    last: bool = True,
    reserved: int = 0,
    mask: bytes = MASK,
    length_bytes: int | None = None,
) -> bytes:
    """Build a masked frame; its length takes 0, 2 or 8 bytes more, by default as few as it can."""
    first = (0x80 if last else 0) | reserved << 4 | opcode
    keyed = bytes(a ^ b for a, b in zip(payload, itertools.cycle(mask), strict=False))
    return bytes((first,)) + client_length(len(payload), length_bytes) + mask + keyed


def client_length(size: int, length_bytes: int | None = None) -> bytes:
    """Build the length of a masked frame, with the bit that says so."""
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 1 << 16 else 8
    if not length_bytes:
        return bytes((0x80 | size,))
    return bytes((0x80 | (126 if length_bytes == 2 else 127),)) + size.to_bytes(length_bytes)


def client_message(opcode: int, payload: bytes, fragment_bytes: int) -> bytes:
    """Build a message in fragments of this size, the last one shorter where it does not divide."""
    starts = range(0, max(len(payload), 1), fragment_bytes)
    return b"".join(
        client_frame(
            CONTINUATION if start else opcode,
            payload[start : start + fragment_bytes],
            last=start + fragment_bytes >= len(payload),
        )
        for start in starts
    )


def client_close(code: int, reason: bytes = b"") -> bytes:
    """Build a close frame with any 16-bit code and any bytes for a reason."""
    return client_frame(CLOSE, code.to_bytes(2) + reason)


def chopped(data: bytes, size: int) -> list[bytes]:
    """Cut a stream into writes of this many bytes; the last one may be shorter."""
    return [data[at : at + size] for at in range(0, len(data), size)]
