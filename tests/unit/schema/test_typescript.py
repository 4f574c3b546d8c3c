"""Types for socket.io-client, as text. tests/journey/test_schema.py has them compiled."""

from __future__ import annotations

from pathlib import Path

from constellation_ws.interface import table, value_types
from constellation_ws.schema import clients, typescript
from tests.tables import loaded

TYPED = """
[[namespace]]
name = "/"

[[request]]
event = "send"
to = "log"
stream = "s"
types = { a = "string", b = "number?", c = "boolean", d = "id", e = "list", f = "object?" }

[[request]]
event = "write"
to = "log"
stream = "s"
in_room = "chat:{chatId}"
bare = "chatId"
types = { at = "number", text = "string" }

[[route]]
channel = "one"
event = "seen"
keys = ["a", "b-c"]
to = ["user:{a}"]

[[route]]
channel = "two"
event = "seen"
keys = ["x"]
to = ["user:{u}"]
types = { x = "id?" }
"""


def test_every_type_has_one() -> None:
    assert tuple(typescript.VALUES) == value_types.NAMES


def test_events_of_the_default_table_have_the_keys_of_the_contract() -> None:
    document = typescript.document(clients.of_namespaces(table.load(), has_tokens=False))

    for event, listed in {
        "new-message": "chatId, messageId, senderId, text, timestamp, media_type, media_url",
        "message-read": "chatId, messageIds, timestamp",
        "new-chat": "chatId, withUser, created_at, timestamp",
        "chat-deleted": "chatId, deletedByUserId, timestamp",
        "user-status": "userId, status, timestamp",
    }.items():
        fields = "; ".join(f"{key}?: unknown" for key in listed.split(", "))
        assert f'    "{event}": (data: {{ {fields} }}) => void\n' in document
    typing = "userId: unknown; isTyping?: unknown; chatId?: unknown"  # hidden from that user
    assert f'    "user-typing": (data: {{ {typing} }}) => void\n' in document


def test_requests_of_the_default_table_have_acks_with_the_chat() -> None:
    document = typescript.document(clients.of_namespaces(table.load(), has_tokens=True))

    for event in ("join-chat", "leave-chat"):
        ack = "ack: (result: Result<{ chatId: Id }>) => void"
        assert f'    "{event}": (data: {{ chatId: Id }} | Id, {ack}) => void\n' in document
    ack = "ack: (result: Result<{ expiresAt?: number | null }>) => void"
    assert f'    "refresh-token": (data: {{ token: string }}, {ack}) => void\n' in document


def test_a_row_s_types_are_those_of_typescript(tmp_path: Path) -> None:
    interface = loaded(tmp_path, TYPED)
    document = typescript.document(clients.of_namespaces(interface, has_tokens=False))

    assert (
        '"send": (data: { a: string; b?: number | null; c: boolean; d: Id; e: unknown[]; '
        "f?: Record<string, unknown> | null; [key: string]: unknown }, "
        "ack: (result: Sent) => void) => void"
    ) in document
    typed = "chatId: Id; at: number; text: string"
    assert f'"write": (data: {{ {typed}; [key: string]: unknown }} | Id, ack' in document
    assert '"seen": (data: { a: unknown; "b-c"?: unknown } | { x?: Id | null }) => void' in document


def test_requests_that_watch_have_users_and_bring_an_event(tmp_path: Path) -> None:
    watching = """
[[namespace]]
name = "/n"
[[request]]
event = "watch"
watches = "userIds"
[[request]]
event = "unwatch"
unwatches = "userIds"
"""
    document = typescript.document(
        clients.of_namespaces(loaded(tmp_path, watching), has_tokens=False)
    )

    users = "data: { userIds: Id | Id[] }"
    for event, data in (("watch", "{ online: string[] }"), ("unwatch", "{}")):
        assert f'"{event}": ({users}, ack: (result: Result<{data}>) => void) => void' in document
    change = "{ userId: string; status: string; at: number }"
    assert f'"presence": (data: {change}) => void' in document
