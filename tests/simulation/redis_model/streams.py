"""Commands on streams."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tests.simulation.redis_model.keyspace import Keyspace, integer
from tests.simulation.redis_model.replies import SYNTAX, Refusal, Reply

Id = tuple[int, int]
_INVALID_ID = "ERR Invalid stream ID specified as stream command argument"
_LAST_SEQUENCE = (1 << 64) - 1
_NODE_ENTRIES = 100
"""What a stream of Redis has in one node: an approximate trim removes whole nodes only."""


class Stream:
    """Entries in the order of their IDs."""

    def __init__(self) -> None:
        self.ids: list[Id] = []
        self.entries: list[list[bytes]] = []
        self.last: Id = (0, 0)
        self.added = 0
        self.removed_up_to: Id = (0, 0)

    def next_id(self, now_ms: int) -> Id:
        last_ms, sequence = self.last
        return (now_ms, 0) if now_ms > last_ms else (last_ms, sequence + 1)

    def remove_first(self, count: int) -> int:
        if count > 0:
            self.removed_up_to = max(self.removed_up_to, self.ids[count - 1])
            del self.ids[:count]
            del self.entries[:count]
        return max(0, count)

    def between(self, least: Id, most: Id) -> slice:
        return slice(bisect_left(self.ids, least), bisect_right(self.ids, most))

    def read(self, places: slice, count: int | None = None) -> list[list[object]]:
        if count is not None:
            places = slice(places.start, min(places.stop, places.start + count))
        pairs = zip(self.ids[places], self.entries[places], strict=True)
        return [[_text(one), fields] for one, fields in pairs]


def xadd(data: Keyspace, words: list[bytes]) -> Reply:
    at, trimming = 2, list[bytes]()
    may_make = words[at].upper() != b"NOMKSTREAM"
    at += not may_make
    if words[at].upper() in (b"MAXLEN", b"MINID"):
        length = 3 if words[at + 1] in (b"~", b"=") else 2
        trimming = words[at : at + length]
        at += length
    name, fields = words[at], words[at + 1 :]
    if not fields or len(fields) % 2:
        raise Refusal("ERR wrong number of arguments for 'xadd' command")
    stream = data.find(words[1], Stream)
    if stream is None and not may_make:
        return None
    stream = stream or Stream()
    entry_id = stream.next_id(data.now_ms) if name == b"*" else _id(name, 0)
    if entry_id <= stream.last:
        raise Refusal(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        )
    data.values[words[1]] = stream
    stream.ids.append(entry_id)
    stream.entries.append(fields)
    stream.last = entry_id
    stream.added += 1
    if trimming:
        _trim(stream, trimming)
    data.appended.add(words[1])
    return _text(entry_id)


def xlen(data: Keyspace, words: list[bytes]) -> Reply:
    stream = data.find(words[1], Stream)
    return 0 if stream is None else len(stream.ids)


def xrange(data: Keyspace, words: list[bytes]) -> Reply:
    stream, count = data.find(words[1], Stream), _count(words[4:])
    if stream is None:
        return []
    return stream.read(stream.between(_start(words[2]), _end(words[3])), count)


def xrevrange(data: Keyspace, words: list[bytes]) -> Reply:
    stream, count = data.find(words[1], Stream), _count(words[4:])
    if stream is None:
        return []
    places = stream.between(_start(words[3]), _end(words[2]))
    if count is not None:
        places = slice(max(places.start, places.stop - count), places.stop)
    return stream.read(places)[::-1]


def xread(data: Keyspace, words: list[bytes]) -> Reply:
    """Read once; `BLOCK` is the connection's business. None where there is nothing."""
    upper = [word.upper() for word in words]
    at = upper.index(b"STREAMS")
    count = _count(words[upper.index(b"COUNT") :]) if b"COUNT" in upper[:at] else None
    names = words[at + 1 :]
    keys, ids = names[: len(names) // 2], names[len(names) // 2 :]
    found: dict[bytes, object] = {}
    for key, after in zip(keys, ids, strict=True):
        stream = data.find(key, Stream)
        if stream is not None and after != b"$":
            places = slice(bisect_right(stream.ids, _id(after, 0)), len(stream.ids))
            if entries := stream.read(places, count):
                found[key] = entries
    return StreamEntries(found) if found else None


class StreamEntries(dict[bytes, object]):
    """A map in RESP 3, and pairs in RESP 2."""


def xtrim(data: Keyspace, words: list[bytes]) -> Reply:
    stream = data.find(words[1], Stream)
    return 0 if stream is None else _trim(stream, words[2:])


def _trim(stream: Stream, words: list[bytes]) -> int:
    is_exact = words[1] != b"~"
    bound = words[1] if words[1] not in (b"~", b"=") else words[2]
    if words[0].upper() == b"MAXLEN":
        count = len(stream.ids) - integer(bound)
    elif words[0].upper() == b"MINID":
        count = bisect_left(stream.ids, _id(bound, 0))
    else:
        raise Refusal(SYNTAX)
    if not is_exact:
        count -= count % _NODE_ENTRIES
    return stream.remove_first(count)


def xdel(data: Keyspace, words: list[bytes]) -> Reply:
    stream, gone = data.find(words[1], Stream), 0
    for word in words[2:] if stream is not None else ():
        assert stream is not None, "checked"
        wanted = _id(word, 0)
        place = bisect_left(stream.ids, wanted)
        if place < len(stream.ids) and stream.ids[place] == wanted:
            del stream.ids[place], stream.entries[place]
            stream.removed_up_to = max(stream.removed_up_to, wanted)
            gone += 1
    return gone


def xinfo(data: Keyspace, words: list[bytes]) -> Reply:
    stream = data.find(words[2], Stream)
    if stream is None:
        raise Refusal("ERR no such key")
    return {
        b"length": len(stream.ids),
        b"last-generated-id": _text(stream.last),
        b"max-deleted-entry-id": _text(stream.removed_up_to),
        b"entries-added": stream.added,
    }


def _count(words: list[bytes]) -> int | None:
    return integer(words[1]) if words else None


def _text(one: Id) -> bytes:
    return b"%d-%d" % one


def _id(word: bytes, sequence: int) -> Id:
    first, _, second = word.partition(b"-")
    try:
        return int(first), int(second) if second else sequence
    except ValueError:
        raise Refusal(_INVALID_ID) from None


def _start(word: bytes) -> Id:
    if word == b"-":
        return 0, 0
    if not word.startswith(b"("):
        return _id(word, 0)
    milliseconds, sequence = _id(word[1:], 0)
    return milliseconds, sequence + 1


def _end(word: bytes) -> Id:
    if word == b"+":
        return _LAST_SEQUENCE, _LAST_SEQUENCE
    if not word.startswith(b"("):
        return _id(word, _LAST_SEQUENCE)
    milliseconds, sequence = _id(word[1:], _LAST_SEQUENCE)
    return (milliseconds, sequence - 1) if sequence else (milliseconds - 1, _LAST_SEQUENCE)
