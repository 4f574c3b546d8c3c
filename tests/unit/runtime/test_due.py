"""When what is due, against the plainest model of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.runtime.due import DueTimes


def test_time_is_over_when_the_token_says_so_and_only_once() -> None:
    times = DueTimes()
    times.put("late", 200)
    times.put("early", 100)
    assert list(times.pop_due(99.9)) == []
    assert list(times.pop_due(100)) == ["early"]
    assert list(times.pop_due(1_000)) == ["late"]
    assert list(times.pop_due(1_000)) == []
    assert len(times) == 0


def test_a_newer_token_puts_the_end_off_and_may_bring_it_forward() -> None:
    times = DueTimes()
    times.put("a", 100)
    times.put("a", 300)
    times.put("b", 300)
    times.put("b", 200)
    assert list(times.pop_due(250)) == ["b"]
    assert list(times.pop_due(300)) == ["a"]


def test_who_has_gone_is_never_due_and_may_go_twice() -> None:
    times = DueTimes()
    times.put("a", 100)
    times.remove("a")
    times.remove("a")
    assert list(times.pop_due(1_000)) == []


def test_what_no_longer_counts_does_not_pile_up() -> None:
    times = DueTimes()
    for number in range(10_000):
        times.put("stays", 1_000_000 + number)
        times.put(f"goes{number}", 1_000_000)
        times.remove(f"goes{number}")
        assert len(times._queue) <= 1_005
    assert list(times.pop_due(1_009_998)) == []
    assert list(times.pop_due(1_009_999)) == ["stays"]


def test_connections_that_are_gone_are_forgotten_once_they_are_many() -> None:
    times = DueTimes()
    for number in range(10_000):
        times.put(f"s{number}", 1_000_000 + number)
        times.retain({f"s{number}"}, 1)
        assert len(times) <= 1_003
    assert "s9999" in times
    assert "s0" not in times
    assert "s9999" in list(times.pop_due(2_000_000))


ACTS = st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "remove"]), st.integers(0, 50))


@given(st.lists(ACTS), st.lists(st.integers(0, 60)))
def test_it_behaves_like_a_dictionary_that_is_searched(
    acts: list[tuple[str, str, int]], looks: list[int]
) -> None:
    times, model = DueTimes(), dict[str, int]()
    for sid, act, at in acts:
        if act == "put":
            times.put(sid, at)
            model[sid] = at
        else:
            times.remove(sid)
            model.pop(sid, None)
    for now in sorted(looks):
        due = {sid for sid, at in model.items() if at <= now}
        assert set(times.pop_due(now)) == due
        model = {sid: at for sid, at in model.items() if sid not in due}
    assert len(times) == len(model)
