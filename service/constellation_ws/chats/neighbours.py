"""What the `/chats` namespace needs of its neighbours: their shapes, and nothing that they do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from constellation_ws.auth.identity import Headers, Identity
from constellation_ws.chats.client_request import ClientRequest
from constellation_ws.delivery.rooms import Member
from constellation_ws.delivery.welcome import Welcome
from constellation_ws.messages.admission import Refusal
from constellation_ws.messages.events import ChatId, UserId


class Authentication(Protocol):
    """What the namespace needs of whoever knows who a client is."""

    @property
    def has_tokens(self) -> bool:
        """Whether clients present tokens, which they can refresh."""

    async def identify(self, presented: object, headers: Headers) -> Identity | Refusal:
        """Say who a client is, by its CONNECT and the headers of its handshake."""

    async def verify(self, token: object) -> Identity | Refusal:
        """Say whose a token is."""


class Requests(Protocol):
    """What a namespace needs of the requests' registry."""

    def answer(
        self, namespace: str, event: str, answer: Callable[[ClientRequest], Awaitable[object]]
    ) -> None:
        """Let requests be answered in the order in which a client sends them."""


class Server(Protocol):
    """What the namespace needs of the Socket.IO server."""

    def on(self, event: str, handler: Callable[..., Any], namespace: str) -> Any:
        """Register a handler."""

    @property
    def requests(self) -> Requests:
        """Where the requests of the interface table are registered."""

    async def disconnect(self, sid: str, namespace: str) -> None:
        """Disconnect a member for good."""


class Access(Protocol):
    """What the namespace needs of whoever knows who is in a chat."""

    async def refusal(self, identity: Identity, chat: ChatId) -> Refusal | None:
        """Say why somebody may not join a chat; None where it may, with no step in between."""

    def outdated(self, identity: Identity, rooms: Iterable[str]) -> Collection[str]:
        """Say which of some rooms a newer token of somebody takes away."""


class Recovery(Protocol):
    """What the namespace needs of whoever gives members their sessions."""

    async def open(self, member: Member, user: UserId, auth: Any) -> Welcome | None:
        """Give a member the session that its client presents, with its rooms, or a new one.

        None where nobody can resume.
        """


class Sessions(Protocol):
    """What the namespace needs of whoever keeps sessions."""

    async def joined(self, member: Member, room: str) -> bool:
        """Write that a member is in a room; False, and it is not, where that cannot be done."""

    async def left(self, member: Member, room: str) -> bool:
        """Write that a member is about to leave a room; False where that cannot be done."""

    async def removed(self, member: Member, rooms: Iterable[str]) -> None:
        """Write that a member was taken out of rooms, now or as soon as that can be done."""

    def leave(self, member: Member, *, for_good: bool) -> None:
        """Keep the session of a member that has left for a while, or drop it."""


class Board(Protocol):
    """What the namespace needs of whoever knows who was announced as online."""

    async def online(self, users: Sequence[UserId]) -> list[UserId]:
        """Name those who are online, as of all that was delivered here when this returns.

        Raises RedisUnavailable.
        """


class Attendance(Protocol):
    """What the namespace needs of whoever keeps who is online."""

    def arrive(self, user: UserId) -> None:
        """Note that a socket of a user is there."""

    def depart(self, user: UserId, reason: str) -> None:
        """Note that a user's last socket on this pod is gone, and why."""


class Announcer(Protocol):
    """What presence needs of whoever announces it to a backend."""

    def came(self, user: UserId) -> None:
        """Note that a user is on this pod."""

    def went(self, user: UserId, reason: str) -> None:
        """Note that a user is gone from this pod, after the grace, and why."""
