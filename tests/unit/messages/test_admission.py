"""What a client may ask for: ids, rooms, sizes and rates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from constellation_ws.messages.admission import (
    DRAINING,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Allowance,
    Arrivals,
    Denied,
    Limits,
    Rate,
    Refusal,
    check_request_size,
    invalid_namespace,
    may_connect,
    may_join,
    read_id,
    read_user_id,
)
from constellation_ws.messages.events import UserId

MAX_CHARS = 16
LIMITS = Limits(
    max_id_chars=MAX_CHARS,
    max_rooms=3,
    max_request_bytes=100,
    requests=Rate(per_second=2, burst=5),
    max_connections_per_user=2,
)

IDS = [
    ("u1", "u1"),
    ("Анна-42", "Анна-42"),
    ("🙂", "🙂"),
    ("a b", "a b"),
    ("x" * MAX_CHARS, "x" * MAX_CHARS),
    ("0", "0"),
    ("-1", "-1"),
    (0, "0"),
    (42, "42"),
    (-7, "-7"),
    (9007199254740993, "9007199254740993"),
    (42.0, "42"),
    (-0.0, "0"),
    (1e15, "1000000000000000"),
]
NO_IDS = [
    "",
    "x" * (MAX_CHARS + 1),
    10**MAX_CHARS,
    1e300,
    1.5,
    float("nan"),
    float("inf"),
    True,
    False,
    [],
    ["u1"],
    {},
    {"id": "u1"},
    b"u1",
    "a\nb",
    "a\x00",
    "\x7f",
    "\u2028",
    "cut \ud83d",
]

rates = st.builds(Rate, st.integers(1, 50), st.integers(1, 50))
pauses = st.lists(st.floats(0, 3), max_size=60)


@pytest.mark.parametrize(("value", "text"), IDS)
def test_a_string_or_a_whole_number_is_an_id(value: object, text: str) -> None:
    assert read_user_id(value, MAX_CHARS) == text
    assert read_id(value, MAX_CHARS) == text


@pytest.mark.parametrize("value", NO_IDS, ids=repr)
def test_anything_else_is_no_id(value: Any) -> None:
    answer = read_user_id(value, MAX_CHARS)
    assert isinstance(answer, Refusal)
    assert answer.code == "invalid_user"
    assert str(MAX_CHARS) in answer.message
    assert read_id(value, MAX_CHARS) is None


def test_nobody_is_unauthorized() -> None:
    assert read_user_id(None, MAX_CHARS) is UNAUTHORIZED


def test_a_refused_namespace_says_which_there_are() -> None:
    refusal = invalid_namespace(["/", "/orders"])
    assert refusal.code == "invalid_namespace"
    assert refusal.message == "Unknown namespace: connect to / or /orders."


@given(st.text(max_size=MAX_CHARS + 2) | st.integers() | st.floats(), st.integers(1, MAX_CHARS))
@example("\U000e0001", MAX_CHARS)
def test_what_is_taken_as_an_id_can_be_written_as_utf_8_on_one_line(
    value: object, max_chars: int
) -> None:
    answer = read_user_id(value, max_chars)
    if not isinstance(answer, Refusal):
        assert 0 < len(answer) <= max_chars
        assert answer.encode().decode().splitlines() == [answer]


def test_codes_of_refusals_are_the_contracts_words() -> None:
    words = {UNAUTHORIZED.code, TOO_MANY_REQUESTS.code, DRAINING.code}
    assert words == {"unauthorized", "rate_limited", "draining"}


@pytest.mark.parametrize("refusal", [UNAUTHORIZED, TOO_MANY_REQUESTS, DRAINING])
def test_messages_of_refusals_are_sentences(refusal: Refusal) -> None:
    assert refusal.message[0].isupper()
    assert refusal.message.endswith(".")


def test_a_refused_request_is_answered_with_the_code_and_the_message() -> None:
    assert Refusal("forbidden", "No.").acknowledgement() == {
        "success": False,
        "error": {"code": "forbidden", "message": "No."},
    }


def test_only_what_passes_by_itself_is_temporary_and_no_refusal_closes_by_default() -> None:
    assert not UNAUTHORIZED.is_temporary
    assert DRAINING.is_temporary
    assert not Denied(TOO_MANY_REQUESTS).closes


def test_a_socket_may_join_as_many_chats_as_the_limit_says() -> None:
    assert [may_join(joined, LIMITS) is None for joined in range(5)] == [True] * 3 + [False] * 2
    refusal = may_join(3, LIMITS)
    assert refusal is not None
    assert refusal.code == "too_many_rooms"
    assert "3" in refusal.message


def test_a_request_may_have_as_many_bytes_as_the_limit_says() -> None:
    assert check_request_size(0, LIMITS) is None
    assert check_request_size(100, LIMITS) is None
    refusal = check_request_size(101, LIMITS)
    assert refusal is not None
    assert refusal.code == "payload_too_large"
    assert "100" in refusal.message


def test_a_burst_is_taken_at_once_and_then_the_rate_counts() -> None:
    rate = Rate(per_second=2, burst=5)
    allowance = Allowance(rate, now_seconds=100.0)
    assert allowance.spent == (5, 0)
    assert [allowance.consume(rate, 100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not allowance.consume(rate, 100.49)
    assert allowance.consume(rate, 100.5)
    assert not allowance.consume(rate, 100.5)
    assert [allowance.consume(rate, 101.5) for _ in range(3)] == [True, True, False]


def test_a_long_silence_saves_up_one_burst_and_no_more() -> None:
    rate = Rate(per_second=2, burst=5)
    allowance = Allowance(rate, now_seconds=0.0)
    assert [allowance.consume(rate, 86_400.0) for _ in range(6)] == [True] * 5 + [False]


def test_who_goes_on_for_a_whole_burst_past_the_limit_abuses_it() -> None:
    rate = Rate(per_second=1, burst=3)
    allowance = Allowance(rate, now_seconds=0.0)
    abused = []
    for _ in range(7):
        allowance.consume(rate, 0.0)
        abused.append(allowance.is_abused(rate))
    assert abused == [False] * 5 + [True] * 2


def test_who_slows_down_is_forgiven() -> None:
    rate = Rate(per_second=1, burst=3)
    allowance = Allowance(rate, now_seconds=0.0)
    for _ in range(5):
        allowance.consume(rate, 0.0)
    assert allowance.consume(rate, 1.0)
    assert [allowance.consume(rate, 1.0) for _ in range(2)] == [False, False]
    assert not allowance.is_abused(rate)


@given(rates, pauses)
def test_no_span_of_time_gives_more_than_a_burst_and_its_rate(
    rate: Rate, waits: list[float]
) -> None:
    now, allowance, taken = 50.0, Allowance(rate, 50.0), []
    for wait in waits:
        now += wait
        if allowance.consume(rate, now):
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            span = taken[last] - start
            assert last - first + 1 <= rate.burst + rate.per_second * span + 1e-6


@given(rates, pauses)
def test_who_keeps_to_the_rate_is_never_refused(rate: Rate, waits: list[float]) -> None:
    now, allowance = 0.0, Allowance(rate, 0.0)
    for wait in waits:
        # A bit more than the pause that the rate asks for, as floats are not exact.
        now += 1.0001 / rate.per_second + wait
        assert allowance.consume(rate, now)
        assert not allowance.is_abused(rate)


@pytest.mark.parametrize(("connections", "may"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_user_may_have_so_many_connections(connections: int, may: bool) -> None:
    refusal = may_connect(connections, LIMITS)
    assert (refusal is None) is may
    assert may or (refusal is not None and refusal.code == "too_many_connections")


def test_who_arrives_at_the_same_time_is_counted_and_then_forgotten() -> None:
    arrivals = Arrivals()
    ann, bob = UserId("ann"), UserId("bob")
    with arrivals.one_of(ann) as first, arrivals.one_of(bob) as other:
        with arrivals.one_of(ann) as second:
            assert (first, other, second) == (0, 0, 1)
        with arrivals.one_of(ann) as third:
            assert third == 1
    with arrivals.one_of(ann) as again:
        assert again == 0
    assert not arrivals._counts, "of who has arrived, nothing stays in memory"


@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.integers(0, 29), st.data())
def test_a_client_that_moves_to_another_pod_may_ask_as_often_as_if_it_had_stayed(
    waits: list[float], moves_at: int, data: st.DataObject
) -> None:
    """The clocks of two pods have nothing in common, and a move takes no time worth counting."""
    rate = Rate(2, 3)
    ahead = data.draw(st.sampled_from([-1e6, 0.0, 1e6]))
    now, offset = 1e7, 0.0
    stays, moves = Allowance(rate, now), Allowance(rate, now)
    for number, wait in enumerate(waits):
        now += wait
        if number == moves_at:
            stays.consume(rate, now)
            moves.consume(rate, now + offset)
            spent = moves.spent
            offset += ahead
            moves = Allowance(rate, now + offset)
            moves.go_on(*spent)
        assert moves.consume(rate, now + offset) is stays.consume(rate, now)
        assert moves.is_abused(rate) is stays.is_abused(rate)
