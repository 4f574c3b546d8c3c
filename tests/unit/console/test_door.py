"""Who may call the console's API: keys, and requests that other sites cause."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from constellation_ws.api.keys import Keys, read_keys
from constellation_ws.console.door import Door, Lock, is_this_machine, refusal

KEY = "the-key-of-operators"
KEYS = read_keys(f"console:{KEY}:read")
OURS = (b"x-constellation-console", b"1")
LOCAL = (b"host", b"localhost:7000")


def code(lock: Lock, *headers: tuple[bytes, bytes], keys: Keys = KEYS) -> str | None:
    refused = refusal(headers, lock, keys)
    return None if refused is None else refused.code


def bearer(key: str) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {key}".encode())


def test_a_key_opens_and_another_or_none_does_not() -> None:
    assert code(Lock.KEY, OURS, bearer(KEY)) is None
    assert code(Lock.KEY, OURS, bearer(KEY[:-1])) == "unauthorized"
    assert code(Lock.KEY, OURS) == "unauthorized"


@pytest.mark.parametrize("lock", Lock)
def test_a_request_that_a_page_of_another_site_may_cause_is_refused(lock: Lock) -> None:
    """A form or an image can send no such header; a script would need our permission first."""
    assert code(lock, LOCAL, bearer(KEY)) == "forbidden"
    assert code(lock, LOCAL, bearer(KEY), OURS, (b"sec-fetch-site", b"cross-site")) == "forbidden"
    assert code(lock, LOCAL, bearer(KEY), OURS, (b"sec-fetch-site", b"same-site")) == "forbidden"
    assert code(lock, LOCAL, bearer(KEY), OURS, (b"sec-fetch-site", b"same-origin")) is None


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST:7000", "127.0.0.1:7000", "[::1]:1")),
        *((host, False) for host in ("evil.example", "localhost.evil.example:7000", "", "::1")),
        *((host, False) for host in ("127.0.0.1.evil.example", "10.0.0.1:7000", "localhost:7000x")),
    ],
)
def test_a_gateway_of_a_developer_is_called_by_a_name_of_this_machine(
    host: str, is_known: bool
) -> None:
    """A page of another name could point that name here, and would then be of the same origin."""
    headers = [(b"host", host.encode())]
    assert is_this_machine(headers) is is_known
    assert (code(Lock.LOCAL, OURS, *headers) is None) is is_known


def test_two_hosts_are_none() -> None:
    assert not is_this_machine([LOCAL, LOCAL])
    assert not is_this_machine([])


class Api:
    """Keeps what it is asked with."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.headers = scope["headers"]


@pytest.mark.parametrize("lock", [Lock.PROXY, Lock.LOCAL])
async def test_behind_a_proxy_the_door_has_the_key(lock: Lock) -> None:
    api, sent = Api(), list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"headers": [OURS, LOCAL, bearer("of the proxy")]}
    await Door(api, lock, KEYS, KEY)(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
    assert bearer(KEY) in api.headers
    assert bearer("of the proxy") not in api.headers
    assert sent == []


async def test_a_refusal_is_json_and_is_not_cached() -> None:
    sent = list[Any]()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"headers": [OURS], "client": ("10.0.0.9", 1)}
    await Door(Api(), Lock.KEY, KEYS, KEY)(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
    assert sent[0]["status"] == 401
    assert (b"cache-control", b"no-store") in sent[0]["headers"]
    assert b'"unauthorized"' in sent[1]["body"]
