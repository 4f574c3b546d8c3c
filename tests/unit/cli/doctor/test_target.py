"""What is examined, and what an answer means."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest

from constellation_ws.cli.doctor.target import Response, read_target, words_of


@pytest.mark.parametrize(
    ("url", "base", "port"),
    [
        ("http://h:7000", "http://h:7000", 7000),
        ("wss://h/chats?x=1", "https://h", 443),
        ("ws://h", "http://h", 80),
    ],
)
def test_a_url_of_any_kind_is_a_target(url: str, base: str, port: int) -> None:
    target = read_target(url, "ws", "/chats", "bob")
    assert (target.url, target.path, target.port) == (base, "/ws/", port)
    assert target.engine_url("polling", "s1") == f"{base}/ws/?EIO=4&transport=polling&sid=s1"


@pytest.mark.parametrize(
    ("answer", "code", "is_from_proxy", "said"),
    [
        (Response(503, '{"data":{"code":"draining"}}'), "draining", False, "HTTP 503 draining"),
        (Response(503, "<html>"), "", True, "HTTP 503"),
        (Response(502, "[]"), "", True, "HTTP 502"),
        (Response(404, '{"data":{}}'), "", False, "HTTP 404"),
        (Response(0, fault="no answer in time"), "", False, "no answer in time"),
    ],
)
def test_an_answer_says_who_gave_it(
    answer: Response, code: str, is_from_proxy: bool, said: str
) -> None:
    assert (answer.code, answer.is_from_proxy, str(answer)) == (code, is_from_proxy, said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('h', 1)"), "connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "the name is not known: "),
        (TimeoutError(), "no answer in time"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "the TLS handshake failed: "),
        (aiohttp.ServerDisconnectedError(), "server disconnected"),
    ],
)
def test_a_fault_is_said_without_the_address(error: BaseException, said: str) -> None:
    assert words_of(error).startswith(said)
