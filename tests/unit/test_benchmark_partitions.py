"""What the comparison of partitions computes, and what it publishes."""

from __future__ import annotations

import socket

import pytest

from benchmarks.partitions import Used, _Line, compared


def test_the_busiest_process_says_how_many_events_fill_a_core() -> None:
    used = Used(3, 1_000, pods=(100.0, 80.0, 90.0), primaries=(250.0, 40.0, 50.0))
    assert used.busiest == ("Redis", 250.0)
    assert used.full_at == pytest.approx(4_000)


def test_rows_of_one_rate_stand_below_each_other() -> None:
    rows = [Used(n, rate, (100.0,), (50.0,)) for n in (1, 3) for rate in (600.0, 3_000.0)]
    lines = compared(rows).splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [
        ["600", "1"],
        ["600", "3"],
        ["3,000", "1"],
        ["3,000", "3"],
    ]


def test_a_line_sends_its_commands_in_turn_and_counts_the_replies() -> None:
    here, there = socket.socketpair()
    with here, there:
        line = _Line(here, [b"a", b"bb", b"c"])
        line.publish(2)
        line.publish(5)
        assert there.recv(100) == b"abb" + b"cabbc" + b"a"
        there.sendall(b":1\r\n" * 7)
        line.read_replies(0)
