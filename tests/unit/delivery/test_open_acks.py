"""Who may acknowledge which events, and until when."""

from __future__ import annotations

from typing import Any, cast

import pytest

from constellation_ws.delivery import open_acks
from constellation_ws.delivery.effects import Asked
from constellation_ws.delivery.open_acks import AckOutcome, OpenAcks
from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.commands import AckRequest
from constellation_ws.messages.events import Sid

REQUEST = AckRequest(7, "reply", 1_000)


def asked(request: AckRequest = REQUEST) -> Asked:
    return Asked(request, frozenset({"user:bob"}), ())


def member(sid: str, user: str) -> Member:
    one = Member(Sid(sid), f"eio-{sid}", cast("Any", None))
    one.rooms.add(f"user:{user}")
    return one


def test_each_socket_of_the_user_may_acknowledge_once() -> None:
    acks = OpenAcks()
    assert acks.open(asked(), now=10.0)
    assert acks.take(member("s1", "bob"), 7, now=10.9) == REQUEST
    assert acks.take(member("s2", "bob"), 7, now=10.9) == REQUEST
    assert acks.take(member("s1", "bob"), 7, now=10.9) is AckOutcome.DUPLICATE


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (11.499, AckRequest(7, "reply", 1_500)),
        (11.5, AckOutcome.UNKNOWN),
        (20.0, AckOutcome.UNKNOWN),
    ],
)
def test_acks_are_accepted_until_the_timeout(now: float, expected: AckRequest | AckOutcome) -> None:
    acks = OpenAcks()
    acks.open(asked(AckRequest(7, "reply", 1_500)), now=10.0)
    assert acks.take(member("s1", "bob"), 7, now) == expected


@pytest.mark.parametrize("now", [11.0, 12.0])
def test_only_what_is_late_makes_room(now: float) -> None:
    acks = OpenAcks()
    for id, timeout_ms in enumerate([1_000, 5_000]):
        acks.open(asked(AckRequest(id, "r", timeout_ms)), now=10.0)
    acks.open(asked(), now)
    assert len(acks) == 2
    assert acks.take(member("s1", "bob"), 1, now) == AckRequest(1, "r", 5_000)


def test_what_comes_too_late_or_was_never_requested_is_unknown() -> None:
    acks = OpenAcks()
    acks.open(asked(), now=10.0)
    assert acks.take(member("s1", "bob"), 7, now=11.0) is AckOutcome.UNKNOWN
    assert acks.take(member("s1", "bob"), 8, now=10.5) is AckOutcome.UNKNOWN
    assert acks.take(member("s3", "mallory"), 7, now=10.5) is AckOutcome.UNKNOWN


def test_there_is_a_bound_and_what_is_late_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_acks, "MAX_OPEN", 2)
    acks = OpenAcks()
    assert [acks.open(asked(AckRequest(id, "r", 1_000)), now=10.0) for id in range(3)] == [
        *(True, True),
        False,
    ]
    assert acks.open(asked(), now=11.0)
    assert len(acks) == 1
