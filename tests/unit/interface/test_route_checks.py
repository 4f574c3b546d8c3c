"""Routes: what is wrong with a row of what is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from constellation_ws.messages import commands
from constellation_ws.messages.events import UNSENDABLE_EVENTS
from constellation_ws.redis_io.names import DEFAULT
from tests.tables import EXTENDS, faults, loaded

ROW = """
[[route]]
channel = "like:new"
event = "like"
keys = ["from"]
to = ["user:{to}"]
"""
OTHER = '[[namespace]]\nname = "/other"\n'
ANONYMOUS = (
    ROW
    + """
namespace = "/open"
[[namespace]]
name = "/open"
identity = "none"
"""
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ROW.replace('"like:new"', '""'), "must not be empty"),
        (ROW.replace('"like"', '""'), "must not be empty"),
        (ROW.replace('["user:{to}"]', "[]"), "must not be empty"),
        *((ROW.replace('"like"', f'"{name}"'), "reserves") for name in sorted(UNSENDABLE_EVENTS)),
        *(
            (ROW.replace("like:new", name), "TCP port has a pattern")
            for name in sorted(commands.REQUESTS)
        ),
        (ROW.replace("like:new", "like:*"), "wildcards (*) are not supported"),
        (ROW.replace("like:new", "like:[ab]?"), "wildcards"),
        (ROW.replace("like:new", " like:new"), "trailing spaces"),
        (ROW.replace("like:new", "like:new "), "trailing spaces"),
        (ROW.replace("like:new", r"like:\u0007"), "unprintable characters"),
        (ROW.replace("{to}", "to"), "is not a room template"),
        (ROW.replace("user:{to}", "{to}") + OTHER, "could name a room of /other"),
        (ROW.replace("user:{to}", "/oth{to}") + OTHER, "could name a room of /other"),
        (ROW.replace("user:{to}", "/other,a:{to}") + OTHER, "could name a room of /other"),
        (ROW.replace("{to}", "{to"), "is not a room template"),
        (ROW.replace("{to}", "{}"), "is not a room template"),
        (ROW.replace("{to}", "{to}:{from}"), "is not a room template"),
        (ROW + 'except = "nobody"', "is not a room template"),
        (ROW + 'empties = ["a", "b"]', "is not a room template"),
        (ROW + 'removes = { who = "user:{to}", from = "c" }', "'c' is not a room template"),
        (ROW + 'removes = { who = "u", from = "chat:{c}" }', "'u' is not a room template"),
        (ROW + r'removes = { who = "u:{to}", from = "c:{a\\b}" }', "must not contain a quote"),
        (ROW.replace('"from"', '"traceparent"'), "never forwarded"),
        (ROW.replace('"from"', '"tracestate"'), "never forwarded"),
        (ROW.replace('"from"', r'"a\"b"'), "must not contain a quote"),
        (ROW.replace("{to}", r"{a\\b}"), "must not contain a quote"),
        (ROW + r'unless_empty = "\u0000"', "must not contain a quote"),
        (ROW + 'partition_by = "c"', "'c' is not a room template"),
        (ROW + r'partition_by = "c:{a\\b}"', "must not contain a quote"),
        (ROW.replace("like:new", DEFAULT.commands), "pods"),
        (ROW.replace("like:new", commands.EMITTER_CHANNEL), "pods"),
        (ROW.replace("like:new", "socket.io#/chats#"), "emitters"),
        (ROW.replace("like:new", "socket.io-request#/#"), "emitters"),
        (ROW.replace("like:new", "constellation:heartbeat:x"), "pods"),
        (ROW + 'types = { from = "ID" }', "ID is no type for from; the types are string, number"),
        (ROW + 'types = { form = "id" }', "types has form, which the route does not read; did you"),
        (ROW + 'types = { other = "id" }', "does not read; add it to keys, or remove its type"),
        (ROW + r'types = { "a\"" = "id" }', "must not contain a quote"),
        (ANONYMOUS, "room 'user:{to}' is always empty: /open has identity"),
        (
            ANONYMOUS.replace("user:{to}", "a:{b}").replace(
                "names", 'except = "user:{c}"\nnames', 1
            ),
            "room 'user:{c}' is always empty",
        ),
    ],
)
def test_a_route_that_cannot_be_used_says_why(tmp_path: Path, text: str, says: str) -> None:
    found = faults(tmp_path, EXTENDS + text)
    assert any(says in fault for fault in found)
    assert all(fault.startswith("interface.toml, route 1 (") for fault in found)


def test_rooms_of_users_are_there_where_an_identity_is_required(tmp_path: Path) -> None:
    text = EXTENDS + ANONYMOUS.replace('"none"', '"required"')
    assert loaded(tmp_path, text).routes[-1].namespace == "/open"


def test_types_may_name_every_key_that_is_read(tmp_path: Path) -> None:
    text = (
        EXTENDS
        + ROW
        + 'except = "user:{a}"\nunless_empty = "b"\nremoves = { who = "c:{d}", from = "e:{f}" }\n'
        + 'types = { from = "id", to = "list?", a = "id", b = "list", d = "id", f = "string" }'
    )
    assert faults(tmp_path, text) == []
