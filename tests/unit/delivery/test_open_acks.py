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
