"""What the console's API makes of what pods answer, and what it does; pods and actions are ours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from msgspec import Raw

from constellation_ws.api.operations import Call
from constellation_ws.api.shapes import NoParameters
from constellation_ws.chats.presence import OnlinePage, PresenceUnavailable
from constellation_ws.console import cluster, questions, shapes
from constellation_ws.console.cluster import Cluster
from constellation_ws.console.operations import Operations
from constellation_ws.console.questions import PodRooms, PodSockets, PodTail, RoomInfo, Seen
from constellation_ws.messages.events import Room, UserId
from constellation_ws.redis_io.asking import Reported
from constellation_ws.redis_io.link import RedisUnavailable
from constellation_ws.services.actions import Actions, MembersPage
from constellation_ws.services.refusals import RequestRefused

ONLINE = ["ann", "bob", "bobby", "carl"]


class Pods:
    """Pods that answer what they are told to, and what they were asked."""

    def __init__(self, **answers: msgspec.Struct | None) -> None:
        self.answers = answers
        self.asked: list[Any] = []
        self.fault: Exception | None = None
        self.listed = 0

    async def living(self) -> Collection[str]:
        self.listed += 1
        if isinstance(self.fault, PresenceUnavailable):
            raise self.fault
        return frozenset(self.answers)

    async def ask(
        self, query: Raw, pods: Collection[str]
    ) -> tuple[Sequence[Reported], Sequence[str]]:
        if self.fault is not None:
            raise self.fault
        self.asked.append(questions.decode_query(query))
        reports = [
            Reported(pod, Raw(msgspec.json.encode(answer))) for pod, answer in self.answers.items()
        ]
        return reports[::-1], ["hanging"]


class Doing:
    """Actions that note what is done."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    async def is_online(self, user: UserId) -> bool:
        return user in ONLINE

    async def online(self, cursor: str, limit: int) -> OnlinePage:
        users = [UserId(user) for user in ONLINE if user > cursor]
        return OnlinePage(users[:limit], users[limit - 1] if len(users) > limit else None)

    async def members(self, *asked: Any) -> MembersPage:
        self.done.append(asked)
        return MembersPage([UserId("bob")], None, is_complete=True)

    async def publish_all(self, messages: Any, retry_key: Any) -> list[str | None]:
        self.done.append(messages)
        return ["1-0"]

    async def disconnect(self, user: UserId, reason: str) -> int:
        self.done.append((user, reason))
        return 2


def console(pods: Pods, doing: Doing | None = None) -> Operations:
    actions = cast("Actions", doing or Doing())
    asking = Cluster(pods.ask, pods.living)
    return Operations(actions, asking, "pod-a", may_act=True, shows_text=False)


@pytest.mark.parametrize(
    ("asked", "users", "cursor"),
    [
        ({}, ONLINE, None),
        ({"limit": 2}, ["ann", "bob"], "bob"),
        ({"cursor": "bob"}, ["bobby", "carl"], None),
        ({"prefix": "bob"}, ["bob", "bobby"], None),
        ({"prefix": "bo", "limit": 1}, ["bob"], "bob"),
        ({"prefix": "x"}, [], None),
        ({"prefix": "bob", "limit": 1}, ["bob"], "bob"),
    ],
)
async def test_users_are_found_by_how_their_id_begins(
    asked: dict[str, Any], users: list[str], cursor: str | None
) -> None:
    found = await console(Pods()).users(Call(shapes.UsersQuery(**asked), None))
    assert (list(found.users), found.cursor) == (users, cursor)


async def test_rooms_of_all_pods_are_added_up_the_largest_first() -> None:
    pods = Pods(
        a=PodRooms([RoomInfo("chat:1", 2), RoomInfo("chat:2", 1)], 2),
        b=PodRooms([RoomInfo("chat:2", 5)], 9),
    )
    found = await console(pods).rooms(Call(shapes.RoomsQuery("chat:"), None))
    assert [(one.room, one.members) for one in found.rooms] == [("chat:2", 6), ("chat:1", 2)]
    assert found.sampled
    assert found.silent == ["hanging"]
    assert not pods.asked[0].has_users


@pytest.mark.parametrize(
    ("prefix", "has_users"),
    [("", False), ("chat:", False), ("user:b", True), ("/a,user:b", True), ("/a,chat:", False)],
)
async def test_rooms_of_users_are_listed_where_they_are_asked_for(
    prefix: str, has_users: bool
) -> None:
    pods = Pods()
    await console(pods).rooms(Call(shapes.RoomsQuery(prefix), None))
    assert pods.asked[0].has_users is has_users


async def test_a_pod_without_a_console_is_silent() -> None:
    pods = Pods(a=PodSockets("pod-a", [], 1), b=None)
    found = await console(pods).user(Call(shapes.UserPath("bob"), None))
    assert (found.count, found.online, found.silent) == (1, True, ["b", "hanging"])


async def test_an_open_page_does_not_have_redis_list_the_pods_for_each_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: now))
    pods = Pods(a=PodSockets("pod-a", [], 1))
    operations = console(pods)
    for expected in (1, 1):
        await operations.user(Call(shapes.UserPath("bob"), None))
        assert pods.listed == expected
    now += 1.0
    await operations.user(Call(shapes.UserPath("bob"), None))
    assert pods.listed == 2


async def test_a_tail_goes_on_where_it_ended() -> None:
    event = Seen(3, "1-0", 0.1, "chat:new", "delivered", 10)
    pods = Pods(a=PodTail(3, 7, [event]), b=PodTail(0, 7, []))
    first = await console(pods).tail(Call(shapes.TailQuery("viewer-1"), None))
    assert [(one.pod, len(one.events)) for one in first.pods] == [("a", 1), ("b", 0)]
    again = shapes.TailQuery("viewer-1", first.cursor, room="user:bob")
    await console(pods).tail(Call(again, None))
    assert pods.asked[1].after == {"a": 3, "b": 0}
    assert pods.asked[1].room == "user:bob"


@pytest.mark.parametrize("cursor", ["x", "[]", '{"a":"1"}'])
async def test_a_cursor_that_was_not_given_is_refused(cursor: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        await console(Pods()).tail(Call(shapes.TailQuery("viewer-1", cursor), None))
    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize("fault", [RedisUnavailable("away"), PresenceUnavailable("away")])
async def test_without_redis_nothing_is_known(fault: Exception) -> None:
    pods = Pods()
    pods.fault = fault
    with pytest.raises(RequestRefused) as refused:
        await console(pods).pods(Call(NoParameters(), None))
    assert refused.value.code == "unavailable"


async def test_what_is_done_is_what_services_do() -> None:
    doing = Doing()
    operations = console(Pods(), doing)
    publication = shapes.Publication("chat:new", Raw(b'{"userId":1}'))
    assert (await operations.publish(Call(NoParameters(), publication))).id == "1-0"
    assert (await operations.kick(Call(shapes.KickQuery("bob"), None))).disconnected == 2
    await operations.members(Call(shapes.RoomQuery("/orders,room:7"), None))
    await operations.members(Call(shapes.RoomQuery("chat:1"), None))
    assert doing.done == [
        [("chat:new", b'{"userId":1}')],
        ("bob", "console"),
        (Room("room:7"), "", 50, "/orders"),
        (Room("chat:1"), "", 50, ""),
    ]
