"""The way to a NestJS microservice over TCP: a request with a pattern of the table."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from constellation_ws.backends.answers import (
    MAX_ANSWER_BYTES,
    REFUSED,
    BackendFailed,
    read_ack,
    read_refusal,
)
from constellation_ws.backends.ways import Target, connect_seconds
from constellation_ws.messages.admission import Refusal
from constellation_ws.nest.client import NestClient, NoReply, ReplyTooLong
from constellation_ws.nest.framing import NO_MESSAGE_HANDLER

logger = structlog.get_logger(__name__)

_CONNECTIONS = 4
"""Behind a Kubernetes Service each may reach another pod of the backend."""


class NestWay:
    """A microservice; connections to it are made when they are needed."""

    def __init__(self, host: str, port: int, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        connecting = connect_seconds(timeout_seconds)
        self._client = NestClient(
            host,
            port,
            max_answer_bytes=MAX_ANSWER_BYTES,
            connect_seconds=connecting,
            # Whoever had to connect first has this much left.
            silence_seconds=timeout_seconds - connecting,
            max_connections=_CONNECTIONS,
        )

    async def send(self, target: Target, body: bytes, traceparent: str) -> msgspec.Raw | Refusal:
        """Ask. Raises TimeoutError, BackendFailed."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout_seconds
        try:
            async with asyncio.timeout(self._timeout_seconds):
                line = await self._client.line()
            reply = await line.ask(
                target.name, msgspec.Raw(body), due - loop.time(), is_repeatable=False
            )
        except NoReply as error:
            is_down = not isinstance(error, ReplyTooLong)
            raise BackendFailed(str(error), is_down=is_down, event=error) from error
        if reply.failure is None:
            return read_ack(reply.response)
        refusal = read_refusal(reply.failure)
        if refusal.message != NO_MESSAGE_HANDLER:
            return refusal
        logger.warning("a backend has no handler for a pattern", pattern=target.name)
        return REFUSED

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()
