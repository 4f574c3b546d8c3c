"""Namespaces and backends, and what rows of a table mean together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tables import EXTENDS, ORDERS, faults, loaded, only_fault


def namespace(name: str) -> str:
    return f"{EXTENDS}[[namespace]]\nname = {name}\n"


def backend(text: str) -> str:
    """A table whose one backend is used."""
    kind = "http" if "http =" in text else "nest"
    used = f'[[request]]\nevent = "x"\nto = "{kind}"\nbackend = "b"\n'
    return f'{EXTENDS}[[backend]]\nname = "b"\n{text}\n{used}'


@pytest.mark.parametrize("name", ["/", "/orders", "/shop/orders", "/заказы", "/__proto__"])
def test_a_namespace_may_have_any_name_that_socket_io_can_carry(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, namespace(f'"{name}"')).namespaces[1].name == name


@pytest.mark.parametrize(
    "name",
    ["", "orders", "/a b", "/a,b", "/a#b", "/a?b", r"/a\u0000", r"/a\n", r"/a\u200b", r"/a\u00a0"],
)
def test_a_namespace_with_another_name_is_a_fault(tmp_path: Path, name: str) -> None:
    assert "name must begin with" in only_fault(tmp_path, namespace(f'"{name}"'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "exactly one of nest and http"),
        ('nest = "b:1"\nhttp = "http://b"', "exactly one of nest and http"),
        ('nest = "b"', "nest must be a host and a port"),
        ('http = "ftp://b"', "http must be a URL"),
        ('http = "http://u:p@b"', "no credentials"),
        ('http = "http://b?x=1"', "neither a query nor a fragment"),
        ('nest = "b:1"\ntimeout_ms = 0', "timeout_ms must be from 1 to 60000"),
        ('nest = "b:1"\ntimeout_ms = 60001', "timeout_ms must be from 1 to 60000"),
        (f'nest = "b:1"\ntimeout_ms = {10**30}', "timeout_ms must be from 1 to 60000"),
        ('nest = "b:1"\nmax_concurrent = 0', "max_concurrent must be from 1 to 10000"),
        ('nest = "b:1"\nmax_concurrent = 10001', "max_concurrent must be from 1 to 10000"),
        ('nest = "b:1"\nkey_variable = "KEY"', "key_variable is only for http"),
        ('http = "http://b"\nkey_variable = "a-secret"', "not the key itself"),
        ('http = "http://b"\nkey_variable = "EMPTY"', "EMPTY is not set in the environment"),
        ('http = "http://b"\nkey_variable = "ABSENT"', "ABSENT is not set in the environment"),
    ],
)
def test_a_backend_that_cannot_be_reached_is_a_fault(tmp_path: Path, text: str, says: str) -> None:
    found = faults(tmp_path, backend(text), {"KEY": "k", "EMPTY": ""})
    assert any(says in fault for fault in found)
    assert all(fault.startswith("interface.toml, ") for fault in found)


@pytest.mark.parametrize(("timeout_ms", "max_concurrent"), [(1, 1), (60_000, 10_000)])
def test_the_limits_of_a_backend_reach_to_their_bounds(
    tmp_path: Path, timeout_ms: int, max_concurrent: int
) -> None:
    limits = f"timeout_ms = {timeout_ms}\nmax_concurrent = {max_concurrent}"
    assert faults(tmp_path, backend(f'nest = "b:1"\n{limits}')) == []


def test_requests_that_watch_are_checked_together(tmp_path: Path) -> None:
    one, other = (f'[[request]]\nevent = "{n}"\nwatches = "u"\nemits = "{n}"\n' for n in "ab")
    assert faults(tmp_path, EXTENDS + one) == []
    assert "requires the namespace and the emits of" in only_fault(tmp_path, EXTENDS + one + other)


def test_a_channel_is_there_twice_however_far_apart(tmp_path: Path) -> None:
    rows = [
        f'[[route]]\nchannel = "{name}"\nevent = "e"\nkeys = []\nto = ["a:{{b}}"]\n'
        for name in [*"abcdefgh", "x", "x"]
    ]
    assert "the channel has an entry already" in only_fault(tmp_path, EXTENDS + "".join(rows))


def test_a_key_need_not_be_there_where_the_table_is_only_read(tmp_path: Path) -> None:
    text = backend('http = "http://b"\nkey_variable = "KEY"')
    assert faults(tmp_path, text, None) == []
    assert faults(tmp_path, text, {"KEY": "k"}) == []


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ключ", "x" * 65])
def test_the_name_of_a_backend_is_fit_for_a_label(tmp_path: Path, name: str) -> None:
    text = backend('nest = "b:1"').replace('"b"', f'"{name}"')
    assert any("name must be 1 to 64" in fault for fault in faults(tmp_path, text))


def test_a_backend_that_no_request_uses_is_a_fault(tmp_path: Path) -> None:
    text = EXTENDS + '[[backend]]\nname = "b"\nnest = "b:1"\n'
    assert "no request uses this backend" in only_fault(tmp_path, text)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('[[namespace]]\nname = "/orders"', "namespace 2 (/orders): the namespace has an entry"),
        (
            '[[backend]]\nname = "orders"\nnest = "x:1"',
            "backend 3 (orders): the backend has an entry already, interface.toml, backend 1",
        ),
        (
            '[[request]]\nevent = "pay"\nleaves = ["a:{b}"]',
            "request 4 (pay): the request has an entry already, interface.toml, request 3 (pay)",
        ),
        (
            '[[route]]\nchannel = "order:moved"\nevent = "x"\nkeys = []\nto = ["a:{b}"]',
            "route 2 (order:moved): the channel has an entry already, interface.toml, route 1",
        ),
    ],
)
def test_what_is_there_twice_is_a_fault(tmp_path: Path, row: str, says: str) -> None:
    assert says in only_fault(tmp_path, ORDERS + row, {"BILLING_KEY": "k"})


def test_one_event_may_be_requested_in_two_namespaces(tmp_path: Path) -> None:
    text = namespace('"/x"') + (
        '[[request]]\nnamespace = "/x"\nevent = "join-chat"\njoins = ["chat:{chatId}"]\n'
    )
    assert len(loaded(tmp_path, text).requests) == 3


@pytest.mark.parametrize(
    "row",
    [
        '[[request]]\nnamespace = "/chat"\nevent = "x"\njoins = ["a:{b}"]',
        '[[route]]\nnamespace = "/chat"\nchannel = "x"\nevent = "x"\nkeys = []\nto = ["a:{b}"]',
    ],
)
def test_a_namespace_must_be_in_the_table(tmp_path: Path, row: str) -> None:
    fault = only_fault(tmp_path, EXTENDS + row)
    assert fault.endswith("the table has no [[namespace]] /chat; did you mean /chats?")
