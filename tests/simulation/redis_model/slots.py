"""Hash slots: what a Redis Cluster refuses, because keys of one command lie in several slots.

The model refuses it always, though one Redis would not: then it works on a Cluster too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from redis.crc import key_slot

from tests.simulation.redis_model.replies import Refusal

CROSS_SLOT = "CROSSSLOT Keys in request don't hash to the same slot"
FOREIGN_KEY = "ERR Attempted to access a non local key in a cluster node"
"""A node that has both slots would not mind; the model takes each slot for a node of its own."""
_KEYLESS = frozenset((b"PING", b"TIME", b"INFO", b"DBSIZE", b"FLUSHALL"))
_ALL_KEYS = frozenset((b"DEL", b"EXISTS"))
_slot_of = lru_cache(maxsize=10_000)(key_slot)


def keys_of(words: Sequence[bytes]) -> Sequence[bytes]:
    """Give the keys that a command names, scripts aside."""
    name = words[0].upper()
    if name in _KEYLESS:
        return ()
    if name in _ALL_KEYS:
        return words[1:]
    if name == b"XREAD":
        at = [word.upper() for word in words].index(b"STREAMS")
        return words[at + 1 : at + 1 + (len(words) - at - 1) // 2]
    return words[2:3] if name == b"XINFO" else words[1:2]


def check_slots(keys: Iterable[bytes]) -> int | None:
    """Give the slot of all these keys, None if there are none. Raises Refusal."""
    slots = {_slot_of(key) for key in keys}
    if len(slots) > 1:
        raise Refusal(CROSS_SLOT)
    return slots.pop() if slots else None


def check_script_key(slot: int | None, words: Sequence[bytes]) -> None:
    """Check a command of a script that was called with keys of this slot. Raises Refusal."""
    found = check_slots(keys_of(words))
    if found is not None and slot is not None and found != slot:
        raise Refusal(FOREIGN_KEY)
