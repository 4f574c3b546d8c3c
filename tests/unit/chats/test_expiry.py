"""Whose token ends when, against the plainest model of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.chats.expiry import Expiries


def test_time_is_over_when_the_token_says_so_and_only_once() -> None:
    expiries = Expiries()
    expiries.put("late", 200)
    expiries.put("early", 100)
    assert list(expiries.take_due(99.9)) == []
    assert list(expiries.take_due(100)) == ["early"]
    assert list(expiries.take_due(1_000)) == ["late"]
    assert list(expiries.take_due(1_000)) == []
    assert len(expiries) == 0


def test_a_newer_token_puts_the_end_off_and_may_bring_it_forward() -> None:
    expiries = Expiries()
    expiries.put("a", 100)
    expiries.put("a", 300)
    expiries.put("b", 300)
    expiries.put("b", 200)
    assert list(expiries.take_due(250)) == ["b"]
    assert list(expiries.take_due(300)) == ["a"]


def test_who_has_gone_is_never_due_and_may_go_twice() -> None:
    expiries = Expiries()
    expiries.put("a", 100)
    expiries.remove("a")
    expiries.remove("a")
    assert list(expiries.take_due(1_000)) == []


def test_what_no_longer_counts_does_not_pile_up() -> None:
    expiries = Expiries()
    for number in range(10_000):
        expiries.put("stays", 1_000_000 + number)
        expiries.put(f"goes{number}", 1_000_000)
        expiries.remove(f"goes{number}")
        assert len(expiries._queue) <= 1_005
    assert list(expiries.take_due(1_009_998)) == []
    assert list(expiries.take_due(1_009_999)) == ["stays"]


ACTS = st.tuples(st.sampled_from("abcd"), st.sampled_from(["put", "remove"]), st.integers(0, 50))


@given(st.lists(ACTS), st.lists(st.integers(0, 60)))
def test_it_behaves_like_a_dictionary_that_is_searched(
    acts: list[tuple[str, str, int]], looks: list[int]
) -> None:
    expiries, model = Expiries(), dict[str, int]()
    for sid, act, at in acts:
        if act == "put":
            expiries.put(sid, at)
            model[sid] = at
        else:
            expiries.remove(sid)
            model.pop(sid, None)
    for now in sorted(looks):
        due = {sid for sid, at in model.items() if at <= now}
        assert set(expiries.take_due(now)) == due
        model = {sid: at for sid, at in model.items() if sid not in due}
    assert len(expiries) == len(model)
