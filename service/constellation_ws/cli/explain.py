"""`explain`: what would become of an event or a request, by the interface table alone.

Nothing is sent, and no Redis, token or backend is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from constellation_ws.backends.request import BackendRequest, chosen_claims, encode
from constellation_ws.delivery import routes
from constellation_ws.interface.built_in import REFRESH
from constellation_ws.interface.requests import RequestReader, Wanted
from constellation_ws.interface.rows import BackendRow, RequestRow
from constellation_ws.interface.table import Interface
from constellation_ws.interface.watches import WatchReader, watched_chat
from constellation_ws.messages import half_pairs
from constellation_ws.messages.admission import Limits, Refusal, check_request_size
from constellation_ws.messages.events import MalformedEvent, UserId
from constellation_ws.messages.namespaces import Namespaces


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of it, in the order in which it is shown."""

    is_accepted: bool
    """Whether it would be neither dropped nor refused."""
    facts: Mapping[str, Any]

    def to_json(self) -> str:
        """Write it for programs."""
        return msgspec.json.encode(self.facts).decode()

    def to_lines(self) -> Iterator[tuple[str, str]]:
        """Give what there is to say to people, each with its name."""
        for name, value in self.facts.items():
            if value not in ([], "", None, False):
                yield name, _shown(value)


def explain_event(
    interface: Interface, channel: str, payload: bytes, max_event_bytes: int
) -> Explanation:
    """Say what clients get of an event, or why it is dropped."""
    row = next((one for one in interface.routes if one.channel == channel), None)
    if row is None:
        known = ", ".join(sorted(one.channel for one in interface.routes))
        return _dropped(f"no route has this channel; the table has {known}")
    if len(payload) > max_event_bytes:
        allowed = f"CONSTELLATION_MAX_EVENT_BYTES allows {max_event_bytes:,}"
        return _dropped(f"it has {len(payload):,} bytes, {allowed}")
    # As if its namespace were the default one: its rooms are shown by their own names.
    route = routes.compile_table([row], Namespaces([row.namespace]))[channel]
    try:
        message = route.route(payload)
    except MalformedEvent as error:
        return _dropped(f"malformed: {error}")
    if message is None:
        return _dropped(f"{row.unless_empty} is an empty list (unless_empty of its route)")
    return Explanation(
        True,
        {
            "outcome": "sent",
            "event": message.event,
            "namespace": route.namespace,
            "payload": msgspec.Raw(msgspec.json.encode(message.body)),
            "rooms": list(message.rooms),
            "except": list(message.except_rooms),
            "empties": list(message.empties),
            "removes": [{"who": one.who, "from": one.room} for one in message.removals],
            "volatile": route.is_volatile,
            "invalidIds": message.invalid_ids,
        },
    )


def explain_request(
    interface: Interface,
    event: str,
    data: bytes,
    namespace: str | None,
    limits: Limits,
    chat_access: str,
) -> Explanation:
    """Say what a client's request does, or why it is refused.

    `chat_access` is CONSTELLATION_CHAT_ACCESS.
    """
    namespace = namespace or interface.namespaces[0].name
    rows = [one for one in interface.requests if one.event == event]
    row = next((one for one in rows if one.namespace == namespace), None)
    if row is None:
        return _refused(_unknown(interface, event, namespace, [one.namespace for one in rows]))
    if (too_large := check_request_size(len(data), limits)) is not None:
        return _refused(too_large)
    try:
        data = bytes(half_pairs.read_value(data))
    except msgspec.DecodeError:
        return _refused(Refusal("invalid_request", "The argument is not JSON."))
    if row.watches or row.unwatches:
        return _watching(row, data, limits, chat_access)
    wanted = RequestReader(row, limits.max_id_chars).read(data)
    if isinstance(wanted, Refusal):
        return _refused(wanted)
    if row.to is None:
        return Explanation(True, _regrouping(row, wanted, chat_access))
    backend = next((one for one in interface.backends if one.name == row.backend), None)
    return Explanation(True, _forwarding(row, wanted, backend, data, interface))


def _watching(row: RequestRow, data: bytes, limits: Limits, chat_access: str) -> Explanation:
    users = WatchReader(row, limits.max_id_chars).read(data)
    if isinstance(users, Refusal):
        return _refused(users)
    facts: dict[str, Any] = {
        "outcome": "watches" if row.watches else "unwatches",
        "event": row.event,
        "namespace": row.namespace,
        "users": list(users),
    }
    if row.watches:
        asked = [f"{chat_access}: chat {watched_chat(user)}" for user in users]
        facts |= {"emits": row.emits, "access": asked if row.access == "chat" else "none"}
    return Explanation(True, facts)


def _regrouping(row: RequestRow, wanted: Wanted, chat_access: str) -> Mapping[str, Any]:
    asked = [f"{chat_access}: chat {chat}" for chat in wanted.chats]
    return {
        "outcome": "joins" if row.joins else "leaves",
        "event": row.event,
        "namespace": row.namespace,
        "rooms": list(wanted.rooms),
        "access": asked if row.access == "chat" else "none",
    }


def _forwarding(
    row: RequestRow,
    wanted: Wanted,
    backend: BackendRow | None,
    data: bytes,
    interface: Interface,
) -> Mapping[str, Any]:
    identity = next(one.identity for one in interface.namespaces if one.name == row.namespace)
    request = BackendRequest(
        event=row.event,
        data=msgspec.Raw(data),
        userId=UserId("<userId>") if identity == "required" else UNSET,
        claims=chosen_claims({claim: f"<{claim}>" for claim in row.claims}, row.claims)
        if row.claims
        else UNSET,
        sid="<sid>",
        namespace=row.namespace,
        rooms=["<room>"] if row.rooms else UNSET,
        address="<address>",
    )
    return {
        "outcome": "forwarded",
        "event": row.event,
        "namespace": row.namespace,
        "requiresRoom": wanted.in_room,
        "to": _destination(row, backend),
        "backend": row.backend,
        "signedWith": backend.key_variable if backend else "",
        "timeoutMs": backend.timeout_ms if backend else None,
        "payload": msgspec.Raw(encode(request)),
    }


def _destination(row: RequestRow, backend: BackendRow | None) -> str:
    if row.to == "channel":
        return f"PUBLISH {row.channel}"
    if row.to == "log":
        return f"XADD {row.stream}"
    assert backend is not None, "checked when the table was read"
    if row.to == "nest":
        return f"{backend.nest}, pattern {row.pattern}"
    return f"POST {backend.http.rstrip('/')}{row.path}"


def _unknown(interface: Interface, event: str, namespace: str, elsewhere: Sequence[str]) -> Refusal:
    if event == REFRESH:
        return Refusal("unknown_event", f"{REFRESH} is built in; the table says nothing of it.")
    if elsewhere:
        return Refusal(
            "unknown_event", f"{namespace} has no such request; {', '.join(elsewhere)} has it."
        )
    known = ", ".join(one.event for one in interface.requests if one.namespace == namespace)
    return Refusal("unknown_event", f"{namespace} has no such request; it has {known or 'none'}.")


def _dropped(reason: str) -> Explanation:
    return Explanation(False, {"outcome": "dropped", "reason": reason})


def _refused(refusal: Refusal) -> Explanation:
    facts = {"outcome": "refused", "code": refusal.code, "reason": refusal.message}
    return Explanation(False, facts)


def _shown(value: Any) -> str:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    if isinstance(value, Mapping):
        return " ".join(f"{name} {one}" for name, one in value.items())
    return "yes" if value is True else str(value)
