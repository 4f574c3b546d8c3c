"""A Socket.IO client over one WebSocket, as small as can be: for many of them, and to look closely.

Unlike `client` it does not reconnect by itself, and does not hide how a connection ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

_TEXT = aiohttp.WSMsgType.TEXT
_DATA = (_TEXT, aiohttp.WSMsgType.BINARY)


class Refused(ConnectionError):
    """The gateway refused the namespace; `str()` is its sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Lost(ConnectionError):
    """The connection has ended; `close_code` is None where there was no Close frame."""

    def __init__(self, close_code: int | None) -> None:
        super().__init__("closed" if close_code else "cut without a Close frame")
        self.close_code = close_code


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the server said of the Engine.IO session."""

    sid: str
    ping_seconds: float
    silent_seconds: float
    """The interval and the timeout: after so much silence a side counts as gone."""

    @property
    def pod(self) -> str:
        """The instance of the pod that opened the session."""
        return self.sid[:8]


@dataclass(frozen=True, slots=True)
class Event:
    """What the gateway sent: a name and its arguments."""

    name: str
    arguments: list[Any]


def read_handshake(packet: str) -> Handshake:
    """Read an Engine.IO open packet. Raises ValueError."""
    if not packet.startswith("0{"):
        raise ValueError("not an Engine.IO handshake")
    try:
        said = json.loads(packet[1:])
        ping, timeout = said["pingInterval"] / 1000, said["pingTimeout"] / 1000
        return Handshake(str(said["sid"]), ping, ping + timeout)
    except (KeyError, TypeError) as error:
        raise ValueError("not an Engine.IO handshake") from error


def connect_packet(namespace: str, auth: Mapping[str, Any]) -> str:
    """Write the packet that connects to a namespace."""
    return f"40{namespace},{json.dumps(auth)}"


def read_answer(namespace: str, packet: str) -> Mapping[str, Any]:
    """Read the answer to a connect packet. Raises Refused; ValueError for another packet."""
    for kind in ("40", "44"):
        if packet.startswith(f"{kind}{namespace},"):
            said = json.loads(packet.partition(",")[2])
            if kind == "44":
                raise Refused((said.get("data") or {}).get("code", ""), said.get("message", ""))
            return dict(said)
    raise ValueError("not an answer to a connect")


class LeanClient:
    """One WebSocket and the namespace on it. `next` must be called again and again: it answers
    pings."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse, namespace: str) -> None:
        self._websocket = websocket
        self._namespace = namespace
        self._prefix = f"42{namespace},"

    async def open(self) -> Handshake:
        """Receive the Engine.IO handshake. Raises Lost and ValueError."""
        return read_handshake(await self.packet())

    async def connect(
        self,
        auth: Mapping[str, Any],
        on_missed: Callable[[str, list[Any]], None] = lambda name, arguments: None,
    ) -> Mapping[str, Any]:
        """Connect to the namespace; events that a resumed session missed come before the answer.

        Raises Refused, Lost and ValueError.
        """
        await self._websocket.send_str(connect_packet(self._namespace, auth))
        while (event := self._event(packet := await self.packet())) is not None:
            on_missed(event.name, event.arguments)
        return read_answer(self._namespace, packet)

    async def send(self, packet: str) -> None:
        """Send a packet as it is."""
        await self._websocket.send_str(packet)

    async def next(self) -> Event:
        """Receive the next event. Raises Lost."""
        while True:
            packet = await self.packet()
            if (event := self._event(packet)) is not None:
                return event
            if packet.startswith("41"):
                raise Lost(None)

    async def packet(self) -> str:
        """Receive the next packet that is no ping. Raises Lost."""
        while True:
            message = await self._websocket.receive()
            if message.type not in _DATA:
                raise Lost(message.data if message.type is aiohttp.WSMsgType.CLOSE else None)
            if message.data == "2":
                await self._websocket.send_str("3")
            elif message.type is _TEXT:
                return str(message.data)

    def _event(self, packet: str) -> Event | None:
        if not packet.startswith(self._prefix):
            return None
        name, *arguments = json.loads(packet[len(self._prefix) :])
        return Event(str(name), arguments)

    async def close(self) -> None:
        """Close it."""
        await self._websocket.close()
