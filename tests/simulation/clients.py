"""Clients that behave as socket.io-client does, on virtual connections.

What they say, and what they note, is the chaos judge's `Speaker`. Lives here: connecting,
heartbeats, upgrading, and coming back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.chaos.clients import Client
from tests.chaos.names import HEARTBEAT_SECONDS
from tests.chaos.speaker import Closed, Speaker
from tests.simulation.hosts import Host
from tests.simulation.polling import PollingClient
from tests.simulation.tokens import Issuer, Overdue, Token
from tests.simulation.transports import Transport
from tests.simulation.websockets import WebSocketClient

_DELAYS_SECONDS = (0.1, 0.3, 0.6, 1.0, 2.0)
_OPEN_SECONDS = 10.0
_TOKEN_SECONDS = 0.3
_EARLY_MS = 3_000
"""So long before its end a token is refreshed."""
Choose = Callable[[], str]
"""Gives the address of the pod that the ingress chooses. Raises ConnectionError."""


class VirtualClient(Speaker):
    """One client of the simulation."""

    def __init__(
        self,
        client: Client,
        host: Host,
        choose: Choose,
        issuer: Issuer | None = None,
        *,
        is_slow: bool = False,
        refreshes: bool = False,
    ) -> None:
        """`is_slow` says that it takes time to get what it enters its namespace with.

        With `refreshes` it presents a new token before the old one ends.
        """
        super().__init__(client, lambda: host.universe.now_ms)
        self.host = host
        self._enter_seconds = _TOKEN_SECONDS if is_slow else 0.0
        self._issuer = issuer
        self._refreshes = refreshes
        self._token: Token | None = None
        self._refreshing: dict[int, Token] = {}
        """Tokens that the gateway was sent and has not answered, by the number of the request."""
        self.overdue: list[Overdue] = []
        self._moving: dict[str, tuple[str | None, int]] = {}
        """Rooms that a backend moves it into or out of now, and its state when that began."""
        self._given: set[str] = set()
        """Rooms that a backend has put it into, or has tried to."""
        self._room_requests: Counter[str] = Counter()
        """How often it asked to join or leave a room."""
        self._choose = choose
        self._attempt = 0
        self._is_away = False
        self._engine: WebSocketClient | PollingClient | None = None
        self._probe: WebSocketClient | None = None
        self._beat_by = 0.0
        self._has_asked = False
        self._number = 0
        """Of this connection: what an earlier one still brings is ignored."""

    @property
    def is_banned(self) -> bool:
        """Whether the gateway has sent it away for good."""
        return self._is_banned

    def start(self) -> None:
        """Connect, now and after each loss."""
        self._open()

    def leave(self) -> None:
        """Go away: the network is gone, and nobody is told."""
        self._is_away = True
        for end in self.connections():
            end.pipe.hold()
            end.peer.pipe.hold()
        self._end("away")

    def come_back(self) -> None:
        """Connect again."""
        self._is_away = False
        self._open()

    def go(self) -> None:
        """Close the connection as a page does that is closed, and never come back."""
        self._is_away = True
        self._end("gone")

    def drop(self, reason: str) -> None:
        """Lose the connection."""
        self._end(reason)

    def connections(self) -> list[Transport]:
        """Give its ends of the connections that it has."""
        carried = [self._engine, self._probe]
        return [
            one._transport
            for one in carried
            if isinstance(one, WebSocketClient) and isinstance(one._transport, Transport)
        ]

    def look(self) -> None:
        """Do what a timer does twice a second: the heartbeat, and the rooms."""
        now = self.host.time()
        if self._engine is not None and now > self._beat_by:
            self._end("ping timeout")
        elif self.is_connected:
            if not self.is_settled:
                self._ask_for_rooms(now)
            self._look_at_token()

    # Being moved by a backend

    def begin_removal(self, room: str) -> bool:
        """Note that a backend is about to take it out of a room; False where it is not in it.

        It may be away: then it must not get, when it comes back, what was published since.
        """
        is_in = self._joined == self._wanted and room in self._joined
        if not is_in or room in self._moving or self._is_banned:
            return False
        self._moving[room] = (self._pid, self._room_requests[room])
        self._write("removing", room)
        return True

    def end_removal(self, room: str, is_certain: bool) -> None:
        """Note the answer. It does not want to be in the room any more.

        A pod that is behind may read of the removal later than a request to join again, and a
        request that was not answered may be carried out at any time.
        """
        was = self._moving.pop(room)
        self._wanted.discard(room)
        if is_certain and was == (self._pid, self._room_requests[room]):
            self._write("removed", room)
            self._joined.discard(room)

    def begin_gift(self, room: str) -> bool:
        """Note that a backend is about to put it into a room; False where it may be in it."""
        is_asked = room in self._moving or room in self._given
        if self._pid is None or is_asked or self._joined != self._wanted or self._is_banned:
            return False
        self._moving[room] = (self._pid, self._room_requests[room])
        self._given.add(room)
        self._write("ask", "join", room)
        return True

    def end_gift(self, room: str, is_certain: bool) -> None:
        """Note the answer; without success it may be put into the room at any time."""
        was = self._moving.pop(room)
        if is_certain and was == (self._pid, self._room_requests[room]):
            self._write("joined", room)
            self._wanted.add(room)
            self._joined.add(room)

    def _connected(self, answer: dict[str, str]) -> None:
        before = self._pid
        super()._connected(answer)
        if self._pid != before:
            self._wanted -= self._given  # it cannot know that it should be there
            for room in sorted(self._given):
                self._write("ask", "join", room)  # a late request may put it there

    # Connecting

    def _open(self) -> None:
        if self._is_away or self._is_banned or self._engine is not None:
            return
        self._number += 1
        self._has_asked = False
        number = self._number
        self._beat_by = self.host.time() + _OPEN_SECONDS
        if self.client.kind.transport == "websocket":
            self.host.begin(self._open_websocket("", number))
        else:
            self._carry(
                PollingClient(
                    self.host,
                    self._choose,
                    lambda text: self._packet(number, text),
                    lambda reason: self._lost_engine(number, reason),
                )
            )

    def _carry(self, engine: WebSocketClient | PollingClient) -> None:
        self._engine = engine
        self._transport = engine

    async def _open_websocket(self, sid: str, number: int) -> None:
        connection = WebSocketClient(
            sid,
            lambda text: self._packet(number, text) if not sid else self._probed(number, text),
            lambda reason: self._lost_engine(number, reason, is_probe=bool(sid)),
        )
        try:
            address = self._choose()
            await self.host.create_connection(lambda: connection, address, 7000)
        except OSError as error:
            self._lost_engine(number, str(error), is_probe=bool(sid))
            return
        if number != self._number:
            connection.close("too late")
        elif sid:
            self._probe = connection
            connection.send("2probe")
        else:
            self._carry(connection)

    def _packet(self, number: int, packet: str) -> None:
        if number != self._number:
            return
        kind = packet[:1]
        if kind == "0":
            self._opened()
        elif kind == "2":
            self._beat_by = self.host.time() + HEARTBEAT_SECONDS
            self._send("3")
        elif kind == "1":
            self._end("closed by the gateway")
        elif kind == "4":
            try:
                self._take(packet)
            except Closed as error:
                self._end(str(error))
            else:
                if self.is_connected and self._attempt:
                    self._attempt = 0
                if self.is_connected and not self._has_asked:
                    self._has_asked = True
                    self._ask_for_rooms(self.host.time())

    def _opened(self) -> None:
        self._beat_by = self.host.time() + HEARTBEAT_SECONDS
        engine = self._engine
        if engine is None:
            return
        self.host.call_later(self._enter_seconds, self._enter, self._number)
        if self.client.kind.transport == "upgrading" and isinstance(engine, PollingClient):
            self.host.begin(self._open_websocket(engine.sid, self._number))

    def _enter(self, number: int) -> None:
        if number == self._number:
            self._send("40/chats," + self._connect_payload())

    def _send(self, packet: str) -> None:
        if self._engine is not None:
            self._engine.send(packet)

    def _ask(self, what: str, room: str, now: float) -> None:
        self._room_requests[room] += 1
        super()._ask(what, room, now)

    # Tokens

    def _take(self, packet: str) -> None:
        if packet.startswith("44") and '"token_expired"' in packet:
            raise Closed(packet)  # the CONNECT took longer than its token: applications try again
        super()._take(packet)

    def _auth(self) -> dict[str, object]:
        auth = super()._auth()
        if self._issuer is not None:
            self._token = self._issuer.issue()
            auth["token"] = self._token.text
        return auth

    def _look_at_token(self) -> None:
        token, issuer = self._token, self._issuer
        if issuer is None or token is None or not self._refreshes or self._refreshing:
            return
        if self.host.universe.now_ms > token.expires_ms - _EARLY_MS:
            number, fresh = next(self._ids), issuer.issue()
            self._refreshing[number] = fresh
            request = json.dumps({"token": fresh.text})
            self._send(f'42/chats,{number}["refresh-token",{request}]')

    def _answered(self, number: int, answer: Any = None, *rest: object) -> None:
        fresh = self._refreshing.pop(number, None)
        if fresh is None:
            super()._answered(number, answer, *rest)
        elif answer["success"]:
            self._token = fresh
        else:
            self._write("wrong", f"the token is not refreshed: {answer}")

    def _receive(self, ms: int, number: int, offset: str | None) -> None:
        super()._receive(ms, number, offset)
        if self._token is not None and ms > self._token.expires_ms and not self._refreshing:
            self.overdue.append(Overdue(number, self._token.expires_ms))

    # Upgrading

    def _probed(self, number: int, packet: str) -> None:
        if number != self._number or self._probe is None:
            return
        engine = self._engine
        if isinstance(engine, WebSocketClient):
            self._packet(number, packet)
        elif packet == "3probe" and engine is not None:
            engine.pause(lambda: self._upgrade(number))

    def _upgrade(self, number: int) -> None:
        engine, probe = self._engine, self._probe
        if number != self._number or probe is None or not isinstance(engine, PollingClient):
            return
        probe.send("5")
        self._carry(probe)
        for packet in engine.take_unsent():
            probe.send(packet)

    # Losing

    def _lost_engine(self, number: int, reason: str, *, is_probe: bool = False) -> None:
        if number != self._number:
            return
        if is_probe and (self._probe is None or self._engine is not self._probe):
            was_polling_paused = self._probe is not None
            self._probe = None
            if not was_polling_paused:
                return  # it goes on polling
        self._end(reason)

    def _end(self, reason: str) -> None:
        engine, probe = self._engine, self._probe
        self._number += 1
        self._engine = self._probe = None
        self._refreshing.clear()
        for one in (engine, probe):
            if one is not None:
                one.close(reason)
        self._lost(ConnectionError(reason))
        if self._is_away or self._is_banned:
            return
        self._attempt = min(self._attempt + 1, len(_DELAYS_SECONDS))
        seconds = _DELAYS_SECONDS[self._attempt - 1] * self.host.universe.chance.uniform(0.5, 1.5)
        self.host.call_later(seconds, self._open)
