"""Reading bodies: bounded in size, in time and in all."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any

import pytest

from constellation_ws.api import bodies
from constellation_ws.api.bodies import Gone, InHand, Receive
from constellation_ws.services.refusals import RequestRefused


def sending(*pieces: bytes | None) -> Receive:
    """A caller who sends these pieces; None hangs up, and behind the last one nothing comes."""
    left = list(pieces)

    async def receive() -> MutableMapping[str, Any]:
        if not left:
            await asyncio.Event().wait()
        piece = left.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    return receive


async def test_the_pieces_of_a_body_are_joined() -> None:
    with InHand().one() as holding:
        assert await holding.read(sending(b"ab", b"c", b""), 3) == b"abc"


async def test_a_body_is_refused_as_soon_as_it_is_too_large() -> None:
    with InHand().one() as holding, pytest.raises(RequestRefused, match="more than 3") as caught:
        await holding.read(sending(b"ab", b"cd"), 3)
    assert caught.value.code == "too_large"


async def test_a_body_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    with InHand().one() as holding, pytest.raises(RequestRefused) as caught:
        await holding.read(sending(b"ab"), 3)
    assert caught.value.code == "too_slow"


async def test_a_caller_who_hangs_up_is_gone() -> None:
    with InHand().one() as holding, pytest.raises(Gone):
        await holding.read(sending(b"ab", None), 3)


async def test_what_all_requests_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES_IN_HAND", 5)
    in_hand = InHand()
    with in_hand.one() as first:
        await first.read(sending(b"abc", b""), 10)
        with in_hand.one() as second, pytest.raises(RequestRefused) as caught:
            await second.read(sending(b"def", b""), 10)
        assert caught.value.code == "overloaded"
    with in_hand.one() as third:
        assert await third.read(sending(b"defgh", b""), 10) == b"defgh"


def test_requests_in_hand_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_IN_HAND", 2)
    in_hand = InHand()
    with ExitStack() as held:
        held.enter_context(in_hand.one())
        held.enter_context(in_hand.one())
        with pytest.raises(RequestRefused) as caught:
            held.enter_context(in_hand.one())
    assert caught.value.code == "overloaded"
    with in_hand.one():
        pass
