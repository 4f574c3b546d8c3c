"""Clients that watch users: who may, how many, all of a request or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from msgspec import Raw

from constellation_ws.auth.identity import Identity
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.chats.watching import Watching
from constellation_ws.delivery.rooms import Member, Rooms
from constellation_ws.interface.rows import RequestRow
from constellation_ws.messages.admission import FORBIDDEN, Limits, Rate, Refusal
from constellation_ws.messages.events import ChatId, Sid, UserId
from constellation_ws.messages.namespaces import DEFAULT_SCOPE, Scope
from constellation_ws.redis_io.link import RedisUnavailable
from tests.unit.delivery.test_rooms import Nowhere

ORDERS = Scope("/orders,")
LIMITS = Limits(64, 3, 1_000, Rate(10, 10), 10)
WATCH = RequestRow("watch", watches="users")
CHECKED = RequestRow("watch", watches="users", access="chat")
UNWATCH = RequestRow("unwatch", unwatches="users")


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
        self.standing = set(self.member.rooms)
        self.forbidden: set[str] = set()
        self.unwritable: set[str] = set()
        self.online_users: set[str] = set()
        self.is_away = False
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.removed_rooms: list[str] = []
        self.watching = Watching(self.rooms, LIMITS, self, self, self)  # type: ignore[arg-type]

    @property
    def watched(self) -> set[str]:
        return self.member.rooms - self.standing

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        self.meanwhile()
        self.asked += 1
        return FORBIDDEN if chat in self.forbidden else None

    async def joined(self, member: Member, room: str) -> bool:
        return room not in self.unwritable

    async def left(self, member: Member, room: str) -> bool:
        return room not in self.unwritable

    async def removed(self, member: Member, rooms: Iterable[str]) -> None:
        self.removed_rooms += rooms

    async def online(self, users: Sequence[UserId]) -> list[UserId]:
        if self.is_away:
            raise RedisUnavailable("Redis is away")
        return [user for user in users if user in self.online_users]

    async def ask(self, row: RequestRow, users: str | None) -> Any:
        """Give the ack's data, or the code of the refusal."""
        raw = None if users is None else Raw(f'{{"users":{users}}}'.encode())
        answer = await self.watching.handler(row)(ClientRequest(self.member, None, raw))
        return answer.code if isinstance(answer, Refusal) else answer


@pytest.fixture
def pod() -> Pod:
    return Pod()


async def test_the_answer_names_who_is_online_and_the_rooms_bring_the_rest(pod: Pod) -> None:
    pod.online_users = {"b", "7"}
    assert await pod.ask(WATCH, '["a","b",7]') == {"online": ["b", "7"]}
    assert pod.watched == {"presence:a", "presence:b", "presence:7"}
    assert await pod.ask(UNWATCH, '["a","never"]') == {}
    assert pod.watched == {"presence:b", "presence:7"}


async def test_rooms_are_those_of_the_members_namespace() -> None:
    pod = Pod(ORDERS)
    await pod.ask(WATCH, '"a"')
    await pod.ask(CHECKED, '"b"')
    assert pod.watched == {"/orders,presence:a", "/orders,chat:presence:b"}
    await pod.ask(UNWATCH, '["a","b"]')
    assert pod.watched == set()


async def test_nobody_is_watched_where_one_may_not_be(pod: Pod) -> None:
    pod.forbidden.add("presence:b")
    assert await pod.ask(CHECKED, '["a","b"]') == "forbidden"
    assert await pod.ask(CHECKED, None) == "invalid_request"
    assert pod.watched == set()
    assert await pod.ask(CHECKED, '["a"]') == {"online": []}
    assert pod.watched == {"chat:presence:a"}


async def test_the_first_refusal_ends_the_questions(pod: Pod) -> None:
    limits = Limits(64, 500, 1_000, Rate(10, 10), 10)
    pod.watching = Watching(pod.rooms, limits, pod, pod, pod)  # type: ignore[arg-type]
    pod.forbidden.add("presence:3")
    users = ",".join(map(str, range(100)))
    assert await pod.ask(CHECKED, f"[{users}]") == "forbidden"
    assert pod.asked == 10
    pod.forbidden.clear()
    assert await pod.ask(CHECKED, f"[{users}]") == {"online": []}
    assert pod.asked == 110


async def test_who_leaves_while_it_is_asked_about_enters_nothing(pod: Pod) -> None:
    pod.meanwhile = lambda: pod.rooms.remove(pod.member)
    assert await pod.ask(CHECKED, '"a"') == "disconnected"
    assert not pod.rooms.members("chat:presence:a")


async def test_watched_users_count_as_rooms_and_those_of_before_do_not_count_again(
    pod: Pod,
) -> None:
    assert await pod.ask(WATCH, '["a","b","c","d"]') == "too_many_rooms"
    assert pod.watched == set()
    assert await pod.ask(WATCH, '["a","b","c"]') == {"online": []}
    pod.online_users = {"a"}
    assert await pod.ask(WATCH, '["a","c"]') == {"online": ["a"]}, "asked again"
    assert await pod.ask(WATCH, '["a","d"]') == "too_many_rooms"


async def test_what_cannot_be_written_or_answered_changes_nothing(pod: Pod) -> None:
    await pod.ask(WATCH, '"before"')
    pod.unwritable.add("presence:b")
    assert await pod.ask(WATCH, '["a","b"]') == "unavailable"
    assert pod.watched == {"presence:before"}
    pod.is_away = True
    assert await pod.ask(WATCH, '["a","before"]') == "unavailable"
    assert pod.watched == {"presence:before"}
    assert pod.removed_rooms == ["presence:a", "presence:b", "presence:a"]


async def test_what_cannot_be_written_is_watched_on(pod: Pod) -> None:
    await pod.ask(WATCH, '["a","b"]')
    pod.unwritable.add("presence:b")
    assert await pod.ask(UNWATCH, '["a","b"]') == "unavailable"
    assert pod.watched == {"presence:a", "presence:b"}
