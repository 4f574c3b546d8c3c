"""Requests of clients: what each kind has, and what no client must be able to name."""

from __future__ import annotations

from pathlib import Path

import pytest

from constellation_ws.messages.events import UNSENDABLE_EVENTS
from tests.tables import EXTENDS, WATCHING, faults, loaded, only_fault

BACKENDS = """
[[backend]]
name = "tcp"
nest = "b:1"
[[backend]]
name = "web"
http = "http://b"
[[request]]
event = "uses-tcp"
to = "nest"
backend = "tcp"
[[request]]
event = "uses-web"
to = "http"
backend = "web"
"""
ANONYMOUS = '[[namespace]]\nname = "/open"\nidentity = "none"\n'


def request(text: str, event: str = '"x"') -> str:
    return f"{EXTENDS}{BACKENDS}{ANONYMOUS}[[request]]\nevent = {event}\n{text}"


@pytest.mark.parametrize(
    "text",
    [
        'joins = ["order:{orderId}", "shop:{orderId}"]\nbare = "orderId"',
        'leaves = ["order:{orderId}"]\ntypes = { orderId = "string" }',
        'joins = ["chat:{id}", "typing:{id}"]\naccess = "chat"',
        'joins = ["chat:{id}"]',
        'to = "nest"\nbackend = "tcp"\npattern = "{\\"cmd\\":\\"place\\"}"',
        'to = "nest"\nbackend = "tcp"\nin_room = "user:{userId}"\nbare = "userId"',
        'to = "http"\nbackend = "web"\npath = "/place"\nidempotent = true\nclaims = ["a", "b"]',
        'to = "http"\nbackend = "web"',
        'to = "channel"\nchannel = "orders:placed"\nrooms = true',
        'to = "channel"\nchannel = "chat:newMessage"',
        'to = "log"\nstream = "{orders}:log"',
        'namespace = "/open"\njoins = ["order:{orderId}"]',
        'namespace = "/open"\nto = "log"\nstream = "s"\nin_room = "order:{orderId}"',
    ],
)
def test_a_request_that_can_be_served(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, request(text)).requests[-1].event == "x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('joins = ["/open,order:{orderId}"]', "could name a room of /open"),
        ("", "exactly one of joins, leaves, watches, unwatches and to, and has none of them"),
        ("joins = []", "and has none of them"),
        ('joins = ["a:{b}"]\nleaves = ["a:{b}"]', "and has joins and leaves"),
        ('joins = ["a:{b}"]\nto = "log"\nstream = "s"', "and has joins and to"),
        ('to = "nest"', 'to = "nest" requires backend'),
        ('to = "http"', 'to = "http" requires backend'),
        ('to = "channel"', 'to = "channel" requires channel'),
        ('to = "log"', 'to = "log" requires stream'),
        ('to = "nest"\nbackend = "tpc"', "no [[backend]] tpc; did you mean tcp?"),
        ('to = "nest"\nbackend = "other"', "no [[backend]] other; it has tcp, web"),
        ('to = "nest"\nbackend = "web"', "requires a backend with nest, and web has none"),
        ('to = "http"\nbackend = "tcp"', "requires a backend with http, and tcp has none"),
        (
            'to = "log"\nstream = "s"\nbackend = "tcp"',
            "backend does not belong to a request with to",
        ),
        ('to = "log"\nstream = "s"\nchannel = "c"', "channel does not belong"),
        ('to = "log"\nstream = "s"\nchannel = "none"', "channel does not belong"),
        ('to = "channel"\nchannel = "c"\nstream = "s"', "stream does not belong"),
        ('to = "channel"\nchannel = "c"\nidempotent = true', "idempotent does not belong"),
        ('to = "channel"\nchannel = "c"\naccess = "chat"', "access does not belong"),
        ('to = "nest"\nbackend = "tcp"\npath = "/x"', "path does not belong"),
        ('to = "http"\nbackend = "web"\npattern = "x"', "pattern does not belong"),
        ('joins = ["a:{b}"]\nin_room = "a:{b}"', "in_room does not belong to a request with joins"),
        ('joins = ["a:{b}"]\nrooms = true', "rooms does not belong"),
        ('joins = ["a:{b}"]\nclaims = ["t"]', "claims does not belong"),
        (
            'leaves = ["chat:{b}"]\naccess = "chat"',
            "access does not belong to a request with leaves",
        ),
        ('joins = ["order"]', "'order' is not a room template"),
        ('joins = ["order:{}"]', "is not a room template"),
        ('joins = ["order:{a}:{b}"]', "is not a room template"),
        ('leaves = ["order:{a}", "{"]', "'{' is not a room template"),
        ('to = "log"\nstream = "s"\nin_room = "vip"', "'vip' is not a room template"),
        (r'joins = ["order:{a\u0000}"]', "must not contain a quote, a backslash or a control"),
        (r'joins = ["order:{a\"}"]', "must not contain a quote"),
        ('joins = ["{room}"]', "must begin with a fixed part and a colon"),
        ('joins = ["us{room}"]', "must begin with a fixed part and a colon"),
        ('leaves = ["user{room}"]', "must begin with a fixed part and a colon"),
        ('joins = ["user:{userId}"]', "by their identity"),
        ('leaves = ["user:{userId}"]', "by their identity"),
        ('joins = ["user:vip-{userId}"]', "by their identity"),
        ('joins = ["order:{a}"]\naccess = "chat"', "requires joins with a room such as 'chat:{"),
        ('joins = ["chat:vip-{a}"]\naccess = "chat"', "requires joins with a room such as 'chat:{"),
        ('joins = ["a:{b}"]\nbare = "c"', "bare is c, which is no key of a room template"),
        ('to = "log"\nstream = "s"\nbare = "c"', "bare is c, which is no key"),
        ('joins = ["a:{b}", "a:{c}"]\nbare = "b"', "bare gives one id, and the request needs b, c"),
        ('joins = ["a:{b}"]\ntypes = { b = "ID" }', "ID is no type for b; the types are string"),
        ('joins = ["a:{b}"]\ntypes = { b = "list" }', "b completes a room's name"),
        ('joins = ["a:{b}"]\ntypes = { b = "object?" }', "b completes a room's name"),
        ('to = "http"\nbackend = "web"\npath = "place"', "path must be fixed"),
        ('to = "http"\nbackend = "web"\npath = "/{id}"', "path must be fixed"),
        ('to = "http"\nbackend = "web"\npath = "/../x"', "path must be fixed"),
        ('to = "http"\nbackend = "web"\npath = "/x?a=b"', "path must be fixed"),
        ('to = "http"\nbackend = "web"\npath = "/x\\r\\nA: b"', "path must be fixed"),
        ('to = "channel"\nchannel = "order:{id}"', "channel must be fixed: no templates"),
        ('to = "channel"\nchannel = " c"', "channel must have no leading or trailing spaces"),
        ('to = "channel"\nchannel = "socketio"', "reserved for pods and emitters"),
        ('to = "channel"\nchannel = "socket.io#/chats#"', "reserved for pods and emitters"),
        ('to = "channel"\nchannel = "constellation:commands"', "reserved for pods and emitters"),
        ('to = "log"\nstream = "constellation:events"', "the gateway's own keys"),
        ('to = "log"\nstream = "{constellation:events}:x"', "the gateway's own keys"),
        ('to = "log"\nstream = "s\\n"', "stream must have no leading or trailing spaces"),
        ('to = "nest"\nbackend = "tcp"\npattern = "a\\u0000"', "pattern must have no unprintable"),
        ('to = "log"\nstream = "s"\nclaims = [""]', "claims must be names of claims"),
        ('to = "log"\nstream = "s"\nclaims = ["a", "a"]', "claims has a name twice"),
        (
            'namespace = "/open"\nto = "log"\nstream = "s"\nin_room = "user:{id}"',
            "is always empty: /open has identity",
        ),
        (
            'namespace = "/open"\njoins = ["chat:{id}"]\naccess = "chat"',
            "access requires a user, and /open has identity",
        ),
        (
            'namespace = "/open"\nto = "log"\nstream = "s"\nclaims = ["t"]',
            "claims requires a user, and /open has identity",
        ),
    ],
)
def test_a_request_that_cannot_be_served_is_a_fault(tmp_path: Path, text: str, says: str) -> None:
    fault = only_fault(tmp_path, request(text))
    assert fault.startswith("interface.toml, request 3 (x): ")
    assert says in fault


@pytest.mark.parametrize("event", sorted(UNSENDABLE_EVENTS | {"*"}))
def test_names_that_socket_io_reserves_are_no_requests(tmp_path: Path, event: str) -> None:
    fault = only_fault(tmp_path, request('joins = ["a:{b}"]', f'"{event}"'))
    assert fault.endswith(f"{event} is an event name that Socket.IO reserves; use another name")


def test_refresh_token_is_built_in(tmp_path: Path) -> None:
    fault = only_fault(tmp_path, request('joins = ["a:{b}"]', '"refresh-token"'))
    assert fault.endswith("refresh-token is built in where tokens are used; remove the request")


@pytest.mark.parametrize("event", ['""', r'"a\u0007"', r'"a\nb"'])
def test_a_request_has_a_name_that_can_be_shown(tmp_path: Path, event: str) -> None:
    fault = only_fault(tmp_path, request('joins = ["a:{b}"]', event))
    assert fault.endswith("event must be a name without control characters")


def test_names_of_javascript_prototypes_are_names_like_others(tmp_path: Path) -> None:
    for name in ("__proto__", "constructor", "prototype"):
        text = f'joins = ["{name}:{{{name}}}"]\nbare = "{name}"\ntypes = {{ {name} = "id" }}'
        assert faults(tmp_path, request(text, f'"{name}"')) == []


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('watches = "u"\njoins = ["a:{b}"]', "exactly one of joins, leaves, watches, unwatches"),
        ('watches = "u"\nbare = "u"', "bare does not belong to a request with watches"),
        ('unwatches = "u"\naccess = "chat"', "access does not belong to a request with unwatches"),
        ('joins = ["a:{b}"]\nemits = "e"', "emits does not belong to a request with joins"),
        ('watches = "u"\ntypes = { u = "id" }', "types does not belong"),
        ('watches = "u\\""', "must not contain a quote"),
        ('watches = "u"\nemits = "disconnect"', "emits is disconnect"),
        ('watches = "u"\nemits = ""', "which clients cannot receive"),
        ('watches = "u"\nemits = "a\\nb"', "which clients cannot receive"),
        ('watches = "u"\nemits = "zoom"', "requires the namespace and the emits of"),
        ('watches = "u"\nemits = "a"', "requires the namespace and the emits of"),
        ('joins = ["area:{id}"]\naccess = "chat"', "requires joins with a room such as"),
        ('joins = ["fixed", "user:{id}"]', "is a room that users are in by their identity"),
        ('to = "channel"\nchannel = "c "', "no leading or trailing spaces"),
        ('joins = ["a:{b}"]\nbare = "c"', "of the request; the keys are b"),
        ('unwatches = "u"\ntypes = { u = "id" }', "types does not belong"),
        ('watches = "u"\nemits = "status"', "requires the namespace and the emits of"),
        ('namespace = "/other"\nwatches = "u"', "requires the namespace and the emits of"),
        ('joins = ["chat:{id}"]', "lets clients watch users without the check"),
        ('joins = ["chat:presence:{id}"]\naccess = "chat"', "without the check"),
    ],
)
def test_a_request_at_fault_beside_one_that_watches(tmp_path: Path, row: str, says: str) -> None:
    found = faults(tmp_path, f'{WATCHING}[[request]]\nevent = "x"\n{row}\n')
    assert any(says in fault for fault in found), found


def test_rooms_that_no_watching_depends_on_are_free(tmp_path: Path) -> None:
    rows = 'joins = ["chat:{id}"]\naccess = "chat"', 'joins = ["presence:{id}", "chats:{id}"]'
    for row in rows:
        assert faults(tmp_path, f'{WATCHING}[[request]]\nevent = "x"\n{row}\n') == []


def test_rooms_are_free_where_those_who_watch_are_not_checked(tmp_path: Path) -> None:
    watch = f'{EXTENDS}[[request]]\nevent = "w"\nwatches = "u"\n'
    assert faults(tmp_path, f'{watch}[[request]]\nevent = "x"\njoins = ["chat:{{id}}"]\n') == []
