"""What is written of comings and goings, against a record that may fail in every way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.announcing.changes import (
    CONNECTED,
    RESTORED,
    SETTLED_SECONDS,
    Change,
    Changes,
    Kind,
)
from constellation_ws.messages.events import UserId

A, B = UserId("a"), UserId("b")


def lines(chunk: list[Change]) -> list[tuple[str, str, str]]:
    return [(one.kind.value, one.user, one.cause.reason) for one in chunk]


def write(
    changes: Changes, *, with_leaving: bool = True, now: float = 0.0
) -> list[tuple[str, str, str]]:
    chunk = changes.take(100, with_leaving=with_leaving)
    changes.wrote(chunk, now)
    return lines(chunk)


def test_comings_and_goings_are_written_once() -> None:
    changes = Changes()
    changes.came(A)
    assert (changes.unwritten, changes.recorded) == (1, 0)
    assert write(changes) == [("+", A, CONNECTED)]
    assert (changes.unwritten, changes.recorded) == (0, 1)
    changes.went(A, "ping timeout")
    assert changes.unwritten == 1
    assert write(changes) == [("-", A, "ping timeout")]
    assert write(changes) == []
    assert (changes.unwritten, changes.recorded) == (0, 0)


def test_who_left_before_being_written_was_never_there() -> None:
    changes = Changes()
    changes.came(A)
    changes.went(A, "x")
    assert write(changes) == []


def test_what_changes_while_it_is_written_is_written_next() -> None:
    changes = Changes()
    changes.came(A)
    chunk = changes.take(100, with_leaving=True)
    changes.went(A, "x")
    changes.wrote(chunk, 0.0)
    chunk = changes.take(100, with_leaving=True)
    assert lines(chunk) == [("-", A, "x")]
    changes.came(A)
    changes.wrote(chunk, 0.0)
    assert write(changes) == [("+", A, CONNECTED)]


def test_a_chunk_that_failed_is_written_again_and_meanwhile_nothing_is_certain() -> None:
    changes = Changes()
    changes.came(A)
    changes.take(100, with_leaving=True)
    assert changes.recorded is None
    changes.went(A, "x")  # it may have been written
    assert write(changes) == [("-", A, "x")]
    assert changes.recorded == 0


def test_chunks_are_bounded_and_arrivals_come_first() -> None:
    changes = Changes()
    changes.came(A)
    write(changes)
    changes.went(A, "x")
    for number in range(5):
        changes.came(UserId(str(number)))
    assert [len(changes.take(count, with_leaving=True)) for count in (2, 5, 6, 7)] == [2, 5, 6, 6]
    assert lines(changes.take(100, with_leaving=False))[-1][0] == "+"
    assert lines(changes.take(100, with_leaving=True))[-1] == ("-", A, "x")


def test_after_a_loss_all_are_written_again_and_who_left_is_announced_without_a_record() -> None:
    changes = Changes()
    for user in (A, B):
        changes.came(user)
    write(changes)
    changes.went(A, "x")
    changes.start_over(is_lost=True)
    assert write(changes, with_leaving=False) == [("+", B, RESTORED)]
    assert write(changes) == [("!", A, "x")]


def test_who_leaves_after_a_loss_before_being_written_again_is_announced_too() -> None:
    changes = Changes()
    changes.came(A)
    write(changes)
    changes.start_over(is_lost=True)
    changes.went(A, "x")
    assert write(changes) == [("!", A, "x")]
    changes.came(A)
    assert write(changes) == [("+", A, CONNECTED)]
    changes.went(A, "x")
    assert write(changes) == [("-", A, "x")]


def test_who_left_is_announced_by_others_where_they_have_removed_the_share() -> None:
    changes = Changes()
    for user in (A, B):
        changes.came(user)
    write(changes)
    changes.went(A, "x")
    changes.start_over(is_lost=False)
    assert write(changes) == [("+", B, RESTORED)]


def test_who_was_announced_long_ago_has_stayed_and_is_not_announced_again() -> None:
    changes = Changes()
    changes.came(A)
    write(changes, now=0.0)
    changes.came(B)
    write(changes, now=SETTLED_SECONDS)
    for _ in range(2):  # being written again announces nothing, so it settles and unsettles nobody
        changes.start_over(is_lost=True)
        written = write(changes, now=SETTLED_SECONDS)
        assert sorted(written) == [("+", B, RESTORED), ("=", A, RESTORED)]
        assert changes.recorded == 2


def test_who_left_and_came_back_is_not_settled() -> None:
    changes = Changes()
    for is_here in (True, False, True):
        changes.came(A) if is_here else changes.went(A, "x")
        write(changes, now=SETTLED_SECONDS if is_here else 0.0)
    changes.start_over(is_lost=True)
    assert write(changes) == [("+", A, RESTORED)]


def test_nobody_is_settled_where_others_may_have_announced_them_as_offline() -> None:
    changes = Changes()
    changes.came(A)
    write(changes, now=0.0)
    changes.came(B)
    write(changes, now=SETTLED_SECONDS)
    changes.unsettle(now=2 * SETTLED_SECONDS)
    changes.start_over(is_lost=True)
    assert sorted(write(changes)) == [("+", A, RESTORED), ("+", B, RESTORED)]


class FakeRecord:
    """What the scripts do for one pod."""

    def __init__(self) -> None:
        self.online: set[UserId] = set()
        self.announced: list[tuple[UserId, bool]] = []

    def write(self, chunk: list[Change]) -> None:
        for change in chunk:
            is_here = change.kind in (Kind.ARRIVED, Kind.STAYED)
            was = change.user in self.online
            if was is not is_here or change.kind is Kind.LEFT_UNRECORDED:
                self.announced.append((change.user, is_here))
            (self.online.add if is_here else self.online.discard)(change.user)


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["came", "went"]), st.sampled_from("abc").map(UserId)),
        st.tuples(
            st.sampled_from(["write", "fail", "answer is lost", "came meanwhile"]), st.just(A)
        ),
        st.tuples(st.sampled_from(["flush"]), st.just(A)),
    )
)


@given(steps)
def test_whatever_fails_the_record_ends_as_the_pod_is(steps: list[tuple[str, UserId]]) -> None:
    changes, record, here = Changes(), FakeRecord(), set[UserId]()
    has_flushed = False
    for step, user in [*steps, ("write", A), ("write", A)]:
        match step:
            case "came":
                here.add(user)
                changes.came(user)
            case "went" if user in here:
                here.discard(user)
                changes.went(user, "x")
            case "fail":
                changes.take(2, with_leaving=True)
            case "answer is lost":
                record.write(changes.take(2, with_leaving=True))
            case "flush":
                record.online.clear()
                changes.start_over(is_lost=True)
                has_flushed = True
            case "write" | "came meanwhile":
                chunk = changes.take(100, with_leaving=True)
                record.write(chunk)
                if step == "came meanwhile":
                    here.add(user)
                    changes.came(user)
                changes.wrote(chunk, 0.0)
    assert record.online == here
    assert changes.unwritten == 0
    assert changes.recorded == len(here)
    last = dict(record.announced)
    assert {user for user, is_online in last.items() if is_online} == here
    if not has_flushed:
        for one in "abc":
            said = [is_online for user, is_online in record.announced if user == one]
            assert said == [place % 2 == 0 for place in range(len(said))], "online, offline, online"
