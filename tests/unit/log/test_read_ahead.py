"""Entries behind ticks that are still to be received, or that never will be."""

from __future__ import annotations

from constellation_ws.log import read_ahead
from constellation_ws.log.read_ahead import ReadAhead
from tests.pod_parts import runs_at


def ahead(*positions: bytes) -> ReadAhead:
    one = ReadAhead()
    one.add(runs_at(positions))
    return one


def test_a_tick_that_arrives_has_what_was_read_behind_it() -> None:
    found = ahead(b"a:0", b"b:0", b"b:1").take(b"b")
    assert found is not None
    assert (found.end, found.missing, found.is_begin) == (2, 0, False)


def test_entries_that_the_log_passed_over_behind_a_tick_are_missing() -> None:
    found = ahead(b"a:1", b"a:4").take(b"a")
    assert found is not None
    assert found.missing == 3


def test_ticks_before_one_that_arrives_never_will() -> None:
    one = ahead(b"a:0", b"b:0", b"c:0")
    one.take(b"b")
    assert one
    assert one.take(b"a") is None
    assert one.take(b"c") is not None
    assert not one


def test_an_unknown_tick_changes_nothing() -> None:
    one = ahead(b"a:0")
    assert one.take(b"x") is None
    assert one.take(b"a") is not None


def test_what_lies_before_the_beginning_is_not_missing() -> None:
    one = ReadAhead()
    one.begin(b"a:4")
    one.add(runs_at([b"a:5", b"a:7"]))
    found = one.take(b"a")
    assert found is not None
    assert (found.begin, found.end, found.missing, found.is_begin) == (5, 8, 1, True)


def test_a_known_entry_ends_the_wait() -> None:
    one = ahead(b"a:0")
    one.clear()
    assert not one
    assert one.take(b"a") is None


def test_the_oldest_are_forgotten_above_the_bound() -> None:
    one = ahead(*(b"%d:0" % n for n in range(read_ahead._MAX_TICKS + 1)))
    assert one.take(b"0") is None
    assert one.take(b"1") is not None
