"""The users behind a room's members: in order, each once, a page at a time."""

from __future__ import annotations

import asyncio

import pytest

from constellation_ws.chats import room_users
from constellation_ws.chats.room_users import list_users
from constellation_ws.delivery.rooms import Member
from constellation_ws.messages.events import Sid, UserId
from tests.unit.delivery.test_rooms import Nowhere


def member(number: int, user: str | None) -> Member:
    one = Member(Sid(f"sid-{number}"), f"eio-{number}", Nowhere())
    if user is not None:
        one.admit(UserId(user))
    return one


def crowd(*users: str | None) -> list[Member]:
    return [member(number, user) for number, user in enumerate(users)]


async def test_users_are_listed_once_and_in_the_order_of_their_bytes() -> None:
    here = crowd("b", "a", "b", "😀", "я", "Z", None)

    assert await list_users(here, "", 10) == ["Z", "a", "b", "я", "😀"]


async def test_a_page_begins_behind_the_cursor_and_ends_at_the_limit() -> None:
    here = crowd("d", "b", "a", "c")

    assert await list_users(here, "a", 2) == ["b", "c"]
    assert await list_users(here, "d", 2) == []


async def test_others_have_their_turn_while_a_large_room_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room_users, "_CHUNK", 10)
    monkeypatch.setattr("constellation_ws.runtime.turns.TURN_SECONDS", 0)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    users = [f"u{number:04}" for number in reversed(range(1_000))]

    assert await list_users(crowd(*users), "", 3) == ["u0000", "u0001", "u0002"]
    assert turns >= 90
    counting.cancel()
