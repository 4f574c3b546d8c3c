"""Commands on sorted sets. They are small here, so they are sorted when they are read."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.redis_model.keyspace import Keyspace, integer
from tests.simulation.redis_model.replies import SYNTAX, Refusal, Reply


class SortedSet(dict[bytes, float]):
    """Members and scores."""

    def in_order(self) -> list[tuple[float, bytes]]:
        return sorted((score, member) for member, score in self.items())


def zadd(data: Keyspace, words: list[bytes]) -> Reply:
    if len(words) % 2:
        raise Refusal(SYNTAX)
    scores = [_score(word) for word in words[2::2]]
    members = data.open(words[1], SortedSet)
    before = len(members)
    members.update(zip(words[3::2], scores, strict=True))
    return len(members) - before


def zrem(data: Keyspace, words: list[bytes]) -> Reply:
    members = data.find(words[1], SortedSet)
    if members is None:
        return 0
    gone = sum(members.pop(one, None) is not None for one in words[2:])
    data.drop_if_empty(words[1], members)
    return gone


def zscore(data: Keyspace, words: list[bytes]) -> Reply:
    return (data.find(words[1], SortedSet) or SortedSet()).get(words[2])


def zcard(data: Keyspace, words: list[bytes]) -> Reply:
    return len(data.find(words[1], SortedSet) or ())


def zrangebyscore(data: Keyspace, words: list[bytes]) -> Reply:
    members = data.find(words[1], SortedSet) or SortedSet()
    is_inside = _score_range(words[2], words[3])
    options = [word.upper() for word in words[4:]]
    found = [(score, member) for score, member in members.in_order() if is_inside(score)]
    if b"LIMIT" in options:
        found = _limit(found, words[4 + options.index(b"LIMIT") + 1 :])
    if b"WITHSCORES" not in options:
        return [member for _, member in found]
    return ScoredMembers([[member, score] for score, member in found])


class ScoredMembers(list[list[object]]):
    """Pairs in RESP 3, and one flat list in RESP 2."""


def zrangebylex(data: Keyspace, words: list[bytes]) -> Reply:
    members = data.find(words[1], SortedSet) or SortedSet()
    least, most = words[2], words[3]
    found = [
        member
        for _, member in members.in_order()
        if _is_after(member, least) and _is_before(member, most)
    ]
    if len(words) > 4:
        found = _limit(found, words[5:])
    return found


def zremrangebyscore(data: Keyspace, words: list[bytes]) -> Reply:
    members = data.find(words[1], SortedSet)
    if members is None:
        return 0
    is_inside = _score_range(words[2], words[3])
    gone = [member for member, score in members.items() if is_inside(score)]
    for member in gone:
        del members[member]
    data.drop_if_empty(words[1], members)
    return len(gone)


def _limit(found: list[object] | list[bytes] | list[tuple[float, bytes]], words: list[bytes]):  # type: ignore[no-untyped-def]
    offset, count = integer(words[0]), integer(words[1])
    return found[offset:] if count < 0 else found[offset : offset + count]


def _score(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        raise Refusal("ERR value is not a valid float") from None


def _score_range(least: bytes, most: bytes) -> Callable[[float], bool]:
    low, high = _bound(least), _bound(most)

    def is_inside(score: float) -> bool:
        is_above = score > low if least.startswith(b"(") else score >= low
        return is_above and (score < high if most.startswith(b"(") else score <= high)

    return is_inside


def _bound(word: bytes) -> float:
    try:
        return float(word.removeprefix(b"("))
    except ValueError:
        raise Refusal("ERR min or max is not a float") from None


def _is_after(member: bytes, bound: bytes) -> bool:
    if bound in (b"-", b"+"):
        return bound == b"-"
    return member > bound[1:] if bound.startswith(b"(") else member >= bound[1:]


def _is_before(member: bytes, bound: bytes) -> bool:
    if bound in (b"-", b"+"):
        return bound == b"+"
    return member < bound[1:] if bound.startswith(b"(") else member <= bound[1:]
