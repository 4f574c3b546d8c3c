"""What a request to watch names, which rooms that means, and what tables may have of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from constellation_ws.interface.rows import RequestRow
from constellation_ws.interface.watches import MAX_AT_ONCE, WatchReader, status_row, watch_room
from constellation_ws.messages.admission import Refusal
from tests.tables import WATCHING, loaded

WATCH = RequestRow("watch", namespace="/n", watches="userIds")
MANY = ",".join(f'"{number}"' for number in range(MAX_AT_ONCE + 1))


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ('{"userIds": ["b", 7, "a", "7"]}', ["b", "7", "a"]),
        ('{"userIds": "b"}', ["b"]),
        ('{"userIds": ["__proto__", "user:eve"], "__proto__": {}}', ["__proto__", "user:eve"]),
        ('{"userIds": 12345678901234567890}', ["12345678901234567890"]),
    ],
)
def test_users_are_named_by_an_id_or_a_list_of_them(text: str, users: list[str]) -> None:
    assert WatchReader(WATCH, 64).read(text.encode()) == users


def test_a_hundred_users_may_be_watched_at_once() -> None:
    users = [f"{number:010}" for number in range(100)]
    text = '{"userIds": ["%s"]}'
    assert WatchReader(WATCH, 10).read((text % '","'.join(users)).encode()) == users
    refused = WatchReader(WATCH, 10).read((text % '","'.join([*users, "x"])).encode())
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(
    "text",
    [
        *("null", "{}", "[]", '"b"', '{"userIds": []}', '{"userIds": ["b", null]}'),
        *('{"__proto__": {"userIds": ["b"]}}', '{"USERIDS": ["b"]}', '{"userIds": true}'),
        *('{"userIds": {"b": 1}}', '{"userIds": "\\u0000"}', '{"userIds": ["12345678901"]}'),
        f'{{"userIds": [{MANY}]}}',
    ],
)
def test_what_names_nobody_or_too_many_is_refused(text: str) -> None:
    refusal = WatchReader(WATCH, 10).read(text.encode())
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid_request"
    assert "userIds" in refusal.message


def test_changes_go_to_the_rooms_of_those_who_watch() -> None:
    assert status_row([RequestRow("x", joins=("a:{b}",))], "c") is None
    checked = RequestRow("w", namespace="/n", watches="id", access="chat")
    row = status_row([WATCH, checked], "constellation:presence")
    assert row is not None
    assert (row.event, row.namespace, row.keys) == ("presence", "/n", ("userId", "status", "at"))
    assert row.to == ("presence:{userId}", "chat:presence:{userId}")
    assert [watch_room("u", one) for one in ("none", "chat")] == ["presence:u", "chat:presence:u"]


def test_a_table_with_requests_that_watch(tmp_path: Path) -> None:
    table = loaded(tmp_path, WATCHING)
    assert table.watches
    assert [row.emits for row in table.requests if row.watches] == ["presence"]
