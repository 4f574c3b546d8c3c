"""What the console requests over HTTP: one row for each operation, as the HTTP API has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from constellation_ws import __version__
from constellation_ws.api.keys import Scope
from constellation_ws.api.operations import Call, Operation
from constellation_ws.api.shapes import NoParameters
from constellation_ws.console import questions, shapes
from constellation_ws.console.cluster import Cluster
from constellation_ws.console.questions import PodHistory, PodRooms, PodSockets, PodStatus, PodTail
from constellation_ws.messages.events import Room, UserId
from constellation_ws.messages.namespaces import scope_of
from constellation_ws.services.actions import Actions
from constellation_ws.services.refusals import RequestRefused

PREFIX = "/console/api/"
_decode_cursor = msgspec.json.Decoder(dict[str, int]).decode
_TAIL_EVENTS = 200
"""Of all pods, in one answer."""
_OF_USERS = "user:"
"""Each user has a room of this prefix: they are listed only where asked for."""


class Operations:
    """The handlers."""

    def __init__(
        self, actions: Actions, cluster: Cluster, pod: str, *, may_act: bool, shows_text: bool
    ) -> None:
        """`pod` is the name of this one."""
        self._actions = actions
        self._cluster = cluster
        self._permissions = shapes.Permissions(__version__, pod, may_act, shows_text)

    def rows(self) -> Sequence[Operation]:
        """Give every operation."""
        return (
            _read("", "showPermissions", NoParameters, shapes.Permissions, self.permissions),
            _read("pods", "listPods", NoParameters, shapes.Pods, self.pods),
            _read("history", "showHistory", NoParameters, shapes.Histories, self.history),
            _read("users", "listUsers", shapes.UsersQuery, shapes.Users, self.users),
            _read("users/{user}", "getUser", shapes.UserPath, shapes.User, self.user),
            _read("rooms", "listRooms", shapes.RoomsQuery, shapes.Rooms, self.rooms),
            _read("rooms/{room}", "listMembers", shapes.RoomQuery, shapes.RoomUsers, self.members),
            _read("tail", "tail", shapes.TailQuery, shapes.Tailed, self.tail),
            Operation(
                "POST",
                f"{PREFIX}publish",
                "publish",
                "Publish an event",
                Scope.PUBLISH,
                HTTPStatus.ACCEPTED,
                NoParameters,
                (shapes.Published,),
                self.publish,
                body=shapes.Publication,
            ),
            Operation(
                "DELETE",
                f"{PREFIX}users/{{user}}/connections",
                "kick",
                "Close all connections of a user",
                Scope.ROOMS,
                HTTPStatus.OK,
                shapes.KickQuery,
                (shapes.Kicked,),
                self.kick,
            ),
        )

    async def permissions(self, _: Call[NoParameters, None]) -> shapes.Permissions:
        """Say what may be done."""
        return self._permissions

    async def pods(self, _: Call[NoParameters, None]) -> shapes.Pods:
        """Ask all pods how they are."""
        asked = await self._cluster.ask(questions.Status(), PodStatus)
        return shapes.Pods([shapes.PodReport(*one) for one in asked.reports], asked.silent)

    async def history(self, _: Call[NoParameters, None]) -> shapes.Histories:
        """Ask all pods what they have measured."""
        asked = await self._cluster.ask(questions.History(), PodHistory)
        return shapes.Histories([shapes.HistoryReport(*one) for one in asked.reports], asked.silent)

    async def users(self, call: Call[shapes.UsersQuery, None]) -> shapes.Users:
        """List online users from where the prefix begins, as far as it goes."""
        prefix, cursor, limit = call.at.prefix, call.at.cursor, call.at.limit
        first: list[UserId] = []
        if prefix and not cursor and await self._actions.is_online(UserId(prefix)):
            first.append(UserId(prefix))
        if len(first) == limit:
            return shapes.Users(first, prefix)
        page = await self._actions.online(cursor or prefix, limit - len(first))
        users = [user for user in page.users if user.startswith(prefix)]
        is_last = page.cursor is None or not page.cursor.startswith(prefix)
        return shapes.Users([*first, *users], None if is_last else page.cursor)

    async def user(self, call: Call[shapes.UserPath, None]) -> shapes.User:
        """Ask all pods for a user's sockets."""
        user = UserId(call.at.user)
        asked = await self._cluster.ask(questions.Who(user), PodSockets)
        sockets = [
            shapes.SocketReport(pod, found.name, socket)
            for pod, found in asked.reports
            for socket in found.sockets
        ]
        count = sum(found.count for _, found in asked.reports)
        is_online = count > 0 or await self._actions.is_online(user)
        return shapes.User(user, is_online, count, sockets, asked.silent)

    async def rooms(self, call: Call[shapes.RoomsQuery, None]) -> shapes.Rooms:
        """Ask all pods for their largest rooms, and add up what they say."""
        prefix, limit = call.at.prefix, call.at.limit
        has_users = prefix.removeprefix(scope_of(Room(prefix))).startswith(_OF_USERS)
        query = questions.TopRooms(prefix, limit, has_users)
        asked = await self._cluster.ask(query, PodRooms)
        members, is_sampled = Counter[str](), False
        for _, found in asked.reports:
            members.update({one.room: one.members for one in found.rooms})
            is_sampled |= found.matching > len(found.rooms)
        ordered = sorted(members.items(), key=lambda one: (-one[1], one[0]))
        largest = [questions.RoomInfo(*one) for one in ordered[:limit]]
        return shapes.Rooms(largest, is_sampled or len(members) > limit, asked.silent)

    async def members(self, call: Call[shapes.RoomQuery, None]) -> shapes.RoomUsers:
        """List the users in a room."""
        at, scope = call.at, scope_of(Room(call.at.room))
        room, namespace = Room(at.room.removeprefix(scope)), scope.removesuffix(",")
        page = await self._actions.members(room, at.cursor, at.limit, namespace)
        return shapes.RoomUsers(page.users, page.is_complete, page.cursor)

    async def tail(self, call: Call[shapes.TailQuery, None]) -> shapes.Tailed:
        """Ask all pods for the events that came since the cursor."""
        after = _read_cursor(call.at.cursor)
        most = max(10, _TAIL_EVENTS // max(1, len(after)))
        at = call.at
        query = questions.Tail(at.viewer, after, at.channel, at.room, most)
        asked = await self._cluster.ask(query, PodTail)
        cursor = {pod: found.cursor for pod, found in asked.reports}
        reports = [shapes.TailReport(pod, one.passed, one.events) for pod, one in asked.reports]
        return shapes.Tailed(questions.encode(cursor).decode(), reports, asked.silent)

    async def publish(self, call: Call[NoParameters, shapes.Publication]) -> shapes.Published:
        """Publish an event, durably."""
        message = (call.body.channel, bytes(call.body.data))
        ids = await self._actions.publish_all([message], None)
        return shapes.Published(ids[0])

    async def kick(self, call: Call[shapes.KickQuery, None]) -> shapes.Kicked:
        """Close a user's connections."""
        user = UserId(call.at.user)
        return shapes.Kicked(await self._actions.disconnect(user, call.at.reason))


def _read(
    path: str,
    name: str,
    parameters: type[msgspec.Struct],
    answer: type[msgspec.Struct],
    handle: object,
) -> Operation:
    return Operation(
        "GET",
        f"{PREFIX}{path}" if path else PREFIX.rstrip("/"),
        name,
        name,
        Scope.READ,
        HTTPStatus.OK,
        parameters,
        (answer,),
        handle,  # type: ignore[arg-type]
    )


def _read_cursor(text: str) -> dict[str, int]:
    """Read where the last answer ended. Raises RequestRefused."""
    if not text:
        return {}
    try:
        return _decode_cursor(text)
    except msgspec.DecodeError as error:
        raise RequestRefused("invalid_request", "this cursor was not given by an answer") from error
