"""Places: up to where each partition of the log has been read, as one value. Pure.

A place is a flat tuple of integers, two for each partition. So with one partition it is a `LogId`,
and compares, and is written, as one. With several, places are compared part by part: of two that
two pods have come to, none may be the later one.

An offset is a place as text, as clients present it: the IDs of all partitions, joined by commas.
That of an event begins with its own ID; behind the others follows `~` and the number of its
partition, if that is not the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from constellation_ws.log.ids import LogId, format_id, parse_id

Place = tuple[int, ...]
"""Two integers for each partition, in their order."""

_MAX_TEXT = 64 * 42 + 4


def part(place: Place, partition: int) -> LogId:
    """Return where a place is in one partition."""
    return place[2 * partition], place[2 * partition + 1]


def parts(place: Place) -> Iterator[LogId]:
    """Yield where a place is in each partition."""
    return zip(place[::2], place[1::2], strict=True)


def place_of(log_ids: Iterable[LogId]) -> Place:
    """Put the IDs of all partitions together."""
    return tuple(number for log_id in log_ids for number in log_id)


def with_part(place: Place, partition: int, log_id: LogId) -> Place:
    """Return a place that is elsewhere in one partition."""
    if len(place) == 2:
        return log_id
    return (*place[: 2 * partition], *log_id, *place[2 * partition + 2 :])


def later(one: Place, other: Place) -> Place:
    """Return the place that has come as far as both, in each partition."""
    if len(one) == 2:
        return max(one, other)
    return place_of(map(max, parts(one), parts(other)))


def is_behind(one: Place, other: Place) -> bool:
    """Return whether a place lacks something that the other one has."""
    if len(one) == 2:
        return one < other
    return any(mine < its for mine, its in zip(parts(one), parts(other), strict=True))


def is_before(one: Place, other: Place) -> bool:
    """Return whether a place lacks something that the other one has, and has nothing more."""
    return one != other and not is_behind(other, one)


def write(place: Place) -> bytes:
    """Write a place, as an offset of no event."""
    return format_id(place) if len(place) == 2 else b",".join(map(format_id, parts(place)))


def rest_of_offset(place: Place, partition: int) -> bytes:
    """Return what follows on the ID in the offset of an event: the same for all of a batch."""
    if len(place) == 2:
        return b""
    ids = list(map(format_id, parts(place)))
    others = b"".join(b"," + one for one in (*ids[partition + 1 :], *ids[:partition]))
    return others + b"~%d" % partition if partition else others


def read(text: bytes | str, partitions: int) -> Place | None:
    """Read an offset; None where it is none of a log with so many partitions."""
    raw = text.encode() if isinstance(text, str) else text
    if partitions == 1:
        return parse_id(raw)
    ids, tilde, number = raw.partition(b"~")
    if len(raw) > _MAX_TEXT or (tilde and not number.isdigit()):
        return None
    first = int(number or b"0")
    found = [parse_id(one) for one in ids.split(b",")]
    if len(found) != partitions or first >= partitions:
        return None
    in_order = found[partitions - first :] + found[: partitions - first]
    known = [log_id for log_id in in_order if log_id is not None]
    return place_of(known) if len(known) == partitions else None
