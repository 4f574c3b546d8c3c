"""Joins and leaves: all of a request's rooms or none, written before they are confirmed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from msgspec import Raw

from constellation_ws.auth.identity import Identity
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.chats.requests import RoomRequests
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import FORBIDDEN, Limits, Rate, Refusal
from constellation_ws.messages.events import ChatId, Sid, UserId
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Scope
from tests.unit.delivery.test_rooms import Nowhere

ORDERS = Scope("/orders,")
LIMITS = Limits(64, 3, 1_000, Rate(10, 10), 10)
JOIN = RequestRow("join", joins=("chat:{chatId}",), access="chat", bare="chatId")
JOIN_TWO = RequestRow("join", joins=("order:{order}", "shop:{shop}"))
LEAVE = RequestRow("leave", leaves=("chat:{chatId}",), bare="chatId")


class Pod:
    """One member, and what it depends on as a test says."""

    def __init__(self, scope: Scope = DEFAULT_SCOPE) -> None:
        self.rooms = Rooms((DEFAULT_SCOPE, ORDERS))
        self.member = Member(Sid("sid"), "eio", Nowhere(), scope)
        self.rooms.add(self.member)
        self.member.admit(UserId("u"))
        self.member.identify(Identity(UserId("u")))
        for room in (scope, scope + "user:u"):
            if room:
                self.rooms.enter(self.member, room)
        self.forbidden: set[str] = set()
        self.unwritable: set[str] = set()
        self.meanwhile: Callable[[], None] = lambda: None
        self.removed_rooms: list[str] = []
        self.requests = RoomRequests(self.rooms, LIMITS, self, self)  # type: ignore[arg-type]

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        self.meanwhile()
        return FORBIDDEN if chat in self.forbidden else None

    async def joined(self, member: Member, room: str) -> bool:
        return room not in self.unwritable

    async def left(self, member: Member, room: str) -> bool:
        return room not in self.unwritable

    async def removed(self, member: Member, rooms: Iterable[str]) -> None:
        self.removed_rooms += rooms

    async def ask(self, row: RequestRow, text: str | None) -> Any:
        """Give the ack's data as text, or the code of the refusal."""
        raw = None if text is None else Raw(text.encode())
        answer = await self.requests.handler(row)(ClientRequest(self.member, None, raw))
        if isinstance(answer, Refusal):
            return answer.code
        return {key: bytes(value).decode() for key, value in answer.items()}


@pytest.fixture
def pod() -> Pod:
    return Pod()


async def test_an_id_names_the_room_and_is_echoed_as_it_was_sent(pod: Pod) -> None:
    assert await pod.ask(JOIN, '{"chatId":7.0}') == {"chatId": "7.0"}
    assert "chat:7" in pod.member.rooms
    assert await pod.ask(LEAVE, "7") == {"chatId": "7"}
    assert "chat:7" not in pod.member.rooms


async def test_rooms_are_those_of_the_members_namespace() -> None:
    pod = Pod(ORDERS)
    await pod.ask(JOIN_TWO, '{"order":1,"shop":"s"}')
    assert {"/orders,order:1", "/orders,shop:s"} <= pod.member.rooms


async def test_a_request_without_its_id_or_with_binary_values_changes_nothing(pod: Pod) -> None:
    before = set(pod.member.rooms)
    for text in ("{}", "null", None):
        assert await pod.ask(JOIN, text) == "invalid_chat"
    assert await pod.ask(JOIN_TWO, '{"order":1}') == "invalid_request"
    assert pod.member.rooms == before


async def test_who_may_not_be_in_a_chat_does_not_enter_it(pod: Pod) -> None:
    pod.forbidden.add("7")
    assert await pod.ask(JOIN, "7") == "forbidden"
    assert "chat:7" not in pod.member.rooms


async def test_who_leaves_while_it_is_asked_about_is_told_so_and_enters_nothing(pod: Pod) -> None:
    pod.meanwhile = lambda: pod.rooms.remove(pod.member)
    assert await pod.ask(JOIN, "7") == "disconnected"
    assert not pod.rooms.members("chat:7")


async def test_rooms_that_a_member_always_has_do_not_count_towards_its_limit() -> None:
    for scope in (DEFAULT_SCOPE, ORDERS):
        pod = Pod(scope)
        codes = [await pod.ask(JOIN, f'"{number}"') for number in range(4)]
        assert [code == "too_many_rooms" for code in codes] == [False, False, False, True]
        assert await pod.ask(JOIN, '"0"') == {"chatId": '"0"'}, "it is there already"


async def test_two_rooms_of_one_request_are_entered_together_or_not_at_all(pod: Pod) -> None:
    pod.unwritable.add("shop:s")
    assert await pod.ask(JOIN_TWO, '{"order":1,"shop":"s"}') == "unavailable"
    assert not {"order:1", "shop:s"} & pod.member.rooms
    assert pod.removed_rooms == ["order:1"]


async def test_a_leave_that_cannot_be_written_does_not_happen(pod: Pod) -> None:
    await pod.ask(JOIN, "7")
    pod.unwritable.add("chat:7")
    assert await pod.ask(LEAVE, "7") == "unavailable"
    assert "chat:7" in pod.member.rooms
