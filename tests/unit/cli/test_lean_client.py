"""Packets that the small client reads and writes. Connecting needs a gateway."""

from __future__ import annotations

import pytest

from constellation_ws.cli.lean_client import (
    Lost,
    Refused,
    connect_packet,
    read_answer,
    read_handshake,
)


def test_a_handshake_names_the_pod_and_the_times() -> None:
    said = read_handshake('0{"sid":"abcdefghXYZ","pingInterval":25000,"pingTimeout":20000}')
    assert (said.pod, said.ping_seconds, said.silent_seconds) == ("abcdefgh", 25, 45)


@pytest.mark.parametrize("text", ["", "<html>", "0{", '0{"sid":"x"}', '{"code":3}', "0{}", "4"])
def test_anything_else_is_no_handshake(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON has errors of its own
        read_handshake(text)


def test_an_answer_is_read_or_raised() -> None:
    assert connect_packet("/chats", {"userId": "u"}) == '40/chats,{"userId": "u"}'
    assert read_answer("/chats", '40/chats,{"sid":"s","pid":"p"}') == {"sid": "s", "pid": "p"}
    with pytest.raises(Refused, match=r"^No token\.$") as refused:
        read_answer("/chats", '44/chats,{"message":"No token.","data":{"code":"unauthorized"}}')
    assert refused.value.code == "unauthorized"
    with pytest.raises(Refused):
        read_answer("/chats", '44/chats,{"message":"of another server"}')
    with pytest.raises(ValueError, match="not an answer"):
        read_answer("/chats", "40/other,{}")


def test_the_end_of_a_connection_says_how() -> None:
    assert str(Lost(None)) == "cut without a Close frame"
    assert str(Lost(1012)) == "closed"
