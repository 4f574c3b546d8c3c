"""What is walked for a session that comes back; how it is found is tried with sessions that do."""

from __future__ import annotations

import pytest

from service.history import Entry, entries_of
from service.missed import worth_walking

TYPING, DELETED = b"chat:typing", b"chat:deleted"
CHANNELS = [TYPING, DELETED, TYPING, DELETED, TYPING]
ENTRIES = entries_of([(b"%d-0" % n, channel, b"") for n, channel in enumerate(CHANNELS, 1)])


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.id[0] for entry in entries]


@pytest.mark.parametrize(
    ("seen", "walked"),
    [
        ((0, 0), [1, 2, 3, 4, 5]),
        ((1, 0), [2, 3, 4, 5]),
        ((3, 0), [2, 4, 5]),
        ((3, 1), [2, 4, 5]),
        ((5, 0), [2, 4]),
    ],
)
def test_of_what_was_seen_only_what_may_move_somebody_is_walked(
    seen: tuple[int, int], walked: list[int]
) -> None:
    assert numbers(worth_walking(ENTRIES, seen, {TYPING})) == walked


def test_where_nothing_is_known_of_a_channel_its_entries_may_move_somebody() -> None:
    assert worth_walking(ENTRIES, (5, 0), frozenset()) == ENTRIES
