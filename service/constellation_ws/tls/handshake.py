"""TLS for a listening port, with certificates that may be replaced while it listens.

Lives here: contexts and the handshake. Not here: the protocol of the port.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias, cast

from constellation_ws.tls.files import RenewedContext, no_password

HANDSHAKE_SECONDS = 10.0

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ServerTls:
    """A certificate and, for mutual TLS, the authority of client certificates, read from files."""

    def __init__(self, cert_file: Path, key_file: Path, client_ca_file: Path | None) -> None:
        self._cert_file, self._key_file = cert_file, key_file
        self._client_ca_file = client_ca_file
        files = [file for file in (cert_file, key_file, client_ca_file) if file is not None]
        self._renewed = RenewedContext("tcp port", files, self._read)

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection. Raises OSError only at the first time."""
        return self._renewed.get()

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A resumed TLS session does not check the certificate again, which may not be trusted any
        # more.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.load_cert_chain(self._cert_file, self._key_file, no_password)
        if self._client_ca_file is not None:
            context.load_verify_locations(self._client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


async def start_server(
    accept: Callable[[socket.socket], Coroutine[Any, Any, None]], listener: socket.socket
) -> asyncio.Server:
    """Listen. `accept` gets each connection as a socket of which nothing has been read."""
    return await asyncio.get_running_loop().create_server(lambda: _Detached(accept), sock=listener)


async def begin(connection: socket.socket, context: ssl.SSLContext) -> Streams:
    """Do the server's side of the handshake. Closes the connection if it raises, as OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
    except BaseException:
        connection.close()
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Detached(asyncio.StreamReaderProtocol):
    """Takes the socket from its transport before anything is read from it.

    `start_tls` would be too late: uvloop reads before the task that calls it begins, and the first
    message of the handshake would be lost. TLS of the server itself would not report failed
    handshakes.
    """

    def __init__(self, accept: Callable[[socket.socket], Coroutine[Any, Any, None]]) -> None:
        super().__init__(asyncio.StreamReader(), lambda reader, writer: accept(self._socket))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        cast("asyncio.WriteTransport", transport).abort()  # uvloop's is no subclass
        # Only now: nobody uses the writer that this makes, and since Python 3.13 a writer warns if
        # it is dropped while its transport is open.
        super().connection_made(transport)
