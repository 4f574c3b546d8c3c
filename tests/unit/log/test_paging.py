"""How many entries are asked for at once."""

from __future__ import annotations

import pytest

from constellation_ws.log.paging import PageSize


def test_a_page_that_is_not_full_is_the_last() -> None:
    page = PageSize()
    assert page.note(page.entries - 1, 9_999)
    assert not page.note(page.entries, page.entries)


def test_pages_of_single_messages_grow_up_to_a_thousand() -> None:
    page = PageSize()
    for _ in range(12):
        page.note(page.entries, page.entries)
    assert page.entries == 1_000


def test_a_page_never_asks_for_many_messages_more_than_a_thousand() -> None:
    page = PageSize()
    for per_entry in (1, 1, 1, 64, 500, 500, 3):
        page.note(page.entries, page.entries * per_entry)
        assert page.entries * per_entry <= 1_000 or page.entries == 1


@pytest.mark.parametrize(("per_entry", "entries"), [(300, 3), (1_000, 1), (5_000, 1)])
def test_entries_of_many_messages_come_few_at_once_and_never_none(
    per_entry: int, entries: int
) -> None:
    page = PageSize()
    page.note(page.entries, page.entries * per_entry)
    assert page.entries == entries


def test_a_full_page_of_which_all_is_known_is_one_of_many() -> None:
    page = PageSize()
    assert not page.note(page.entries, 0)
    assert page.entries > 1


def test_who_has_caught_up_begins_small_again() -> None:
    page, first = PageSize(), PageSize().entries
    page.note(page.entries, page.entries)
    assert page.entries == 2 * first
    page.note(0, 0)
    assert page.entries == first
