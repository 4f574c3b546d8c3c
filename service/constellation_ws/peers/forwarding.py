"""HTTP requests of long-polling clients that one pod has received and another pod responds to.

A poll that waits is a number and a future here, and costs nothing on the link.
"""

from __future__ import annotations

import asyncio

import msgspec

from constellation_ws.peers.link import Link, OutgoingLink
from constellation_ws.peers.wire import ForwardedRequest, ForwardedResponse, Kind

_response = msgspec.msgpack.Decoder(ForwardedResponse).decode
_encode = msgspec.msgpack.encode


class Forwarded:
    """A forwarded request, at the pod that has received it from the client."""

    def __init__(self, link: OutgoingLink, request: ForwardedRequest) -> None:
        self._link = link
        self._response: asyncio.Future[ForwardedResponse | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._stream = link.open(self)
        link.send(Kind.REQUEST, self._stream, _encode(request))

    async def response(self, gone: asyncio.Future[None]) -> ForwardedResponse | None:
        """Wait for the response; None if the link is lost, or the client has disconnected.

        `gone` is done when the client has disconnected.
        """
        gone.add_done_callback(self._cancel)
        try:
            return await self._response
        except asyncio.CancelledError:
            self._link.send(Kind.CANCEL, self._stream)
            raise
        finally:
            self._link.release(self._stream)

    def _cancel(self, _: asyncio.Future[None]) -> None:
        if not self._response.done():
            self._response.set_result(None)
            self._link.send(Kind.CANCEL, self._stream)

    def finish(self) -> None:
        """Have the poll respond soon, even without packets."""
        self._link.send(Kind.FINISH, self._stream)

    # What the link calls

    def receive(self, kind: int, payload: bytes) -> None:
        if kind == Kind.RESPONSE and not self._response.done():
            self._response.set_result(_response(payload))

    def lost(self) -> None:
        if not self._response.done():
            self._response.set_result(None)

    def link_is_full(self, is_full: bool) -> None:
        """A request is sent in one frame."""


class Served:
    """A forwarded request, at the pod that holds the session."""

    def __init__(self, link: Link, stream: int) -> None:
        self._link = link
        self._stream = stream
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the client has disconnected, or the link is lost."""
        self.finish: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the other pod is about to stop."""
        link.streams[stream] = self

    def respond(self, response: ForwardedResponse) -> None:
        """Send the response."""
        self._link.send(Kind.RESPONSE, self._stream, _encode(response))
        self._link.release(self._stream)

    # What the link calls

    def receive(self, kind: int, payload: bytes) -> None:
        if kind == Kind.CANCEL:
            self.lost()
        elif kind == Kind.FINISH and not self.finish.done():
            self.finish.set_result(None)

    def lost(self) -> None:
        self._link.release(self._stream)
        if not self.gone.done():
            self.gone.set_result(None)

    def link_is_full(self, is_full: bool) -> None:
        """A response is sent in one frame, and its size is limited."""
