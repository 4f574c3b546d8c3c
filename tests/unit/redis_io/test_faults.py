"""One sentence for each kind of fault. Real servers that have them: test_redis_endpoint."""

from __future__ import annotations

import ssl

import pytest
import redis

from constellation_ws.redis_io.faults import explain


def caused_by(error: OSError) -> redis.ConnectionError:
    """As redis-py raises what a socket has raised: while handling it."""
    try:
        try:
            raise error
        except OSError:
            raise redis.ConnectionError(f"Error connecting to host:1. {error}")  # noqa: B904
    except redis.ConnectionError as raised:
        return raised


def refused_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] ...")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (redis.AuthenticationError("invalid username-password pair"), "refuses the user name"),
        (redis.AuthenticationError("Authentication required."), "requires a password"),
        (redis.AuthenticationError("called without any password configured"), "has no password"),
        (redis.exceptions.NoPermissionError("No permissions"), "not permitted: No permissions"),
        (
            redis.AuthenticationError("HELLO must be called with the client already authenticated"),
            "requires a password",
        ),
        (redis.exceptions.MovedError("1 10.0.0.1:6379"), "set REDIS_URL to redis+cluster://"),
        (redis.exceptions.AskError("1 10.0.0.1:6379"), "is being moved"),
        (redis.TimeoutError("Timeout reading from host:1"), "does not answer"),
        (redis.TimeoutError("Timeout connecting to server"), "must use TLS"),
        (
            redis.ResponseError("This instance has cluster support disabled"),
            "set REDIS_URL to redis://host",
        ),
        (caused_by(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (caused_by(refused_certificate()), "certificate is refused: certificate has expired"),
        (caused_by(ssl.SSLError(1, "?")), "TLS handshake failed"),
        (redis.ConnectionError("Connection closed by server."), "port uses TLS"),
        (redis.ConnectionError("Too many connections"), "Too many connections"),
        (ValueError(), "ValueError"),
    ],
)
def test_each_fault_has_a_sentence_of_its_own(error: Exception, says: str) -> None:
    assert says in explain(error)
