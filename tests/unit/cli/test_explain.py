"""What would become of an event or a request, as `explain` says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from constellation_ws.cli.explain import Explanation, explain_event, explain_request
from constellation_ws.interface import table
from constellation_ws.interface.table import Interface
from constellation_ws.messages.admission import Limits, Rate
from tests.tables import EXTENDS, ORDERS, loaded

LIMITS = Limits(128, 500, 1_000, Rate(10, 10), 10)
MORE = """
[[namespace]]
name = "/open"
identity = "none"

[[request]]
namespace = "/open"
event = "note"
to = "log"
stream = "notes"

[[request]]
namespace = "/open"
event = "type"
to = "channel"
channel = "typing"

[[route]]
channel = "gone"
event = "gone"
keys = ["__proto__"]
to = ["order:{orderId}"]
except = "user:{by}"
empties = ["order:{orderId}"]
removes = { who = "user:{by}", from = "order:{orderId}" }
"""


@pytest.fixture
def orders(tmp_path: Path) -> Interface:
    return loaded(tmp_path, ORDERS + MORE)


def event(interface: Interface, channel: str, payload: str) -> Explanation:
    return explain_event(interface, channel, payload.encode(), 1_000)


def request(
    interface: Interface, name: str, data: str, namespace: str | None = None
) -> Explanation:
    return explain_request(interface, name, data.encode(), namespace, LIMITS, "claim")


def facts(explanation: Explanation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(explanation.to_json())
    assert explanation.is_accepted is (found["outcome"] not in ("dropped", "refused"))
    return found


def lines(explanation: Explanation) -> list[tuple[str, str]]:
    return list(explanation.to_lines())


def test_an_event_is_shown_with_all_that_follows(orders: Interface) -> None:
    found = event(orders, "gone", '{"orderId": [7, "b"], "by": "u", "__proto__": 1.50, "x": 2}')
    assert facts(found) == {
        "outcome": "sent",
        "event": "gone",
        "namespace": "/orders",
        "payload": {"__proto__": 1.5},
        "rooms": ["order:7", "order:b"],
        "except": ["user:u"],
        "empties": ["order:7", "order:b"],
        "removes": [{"who": "user:u", "from": "order:7"}, {"who": "user:u", "from": "order:b"}],
        "volatile": False,
        "invalidIds": 0,
    }
    assert lines(found)[3:] == [
        ("payload", '{"__proto__":1.50}'),
        ("rooms", "order:7, order:b"),
        ("except", "user:u"),
        ("empties", "order:7, order:b"),
        ("removes", "who user:u from order:7, who user:u from order:b"),
    ]


def test_rooms_of_another_namespace_are_shown_by_their_own_names(tmp_path: Path) -> None:
    text = EXTENDS + ORDERS.replace(
        'channel = "order:moved"', 'channel = "o"\nnamespace = "/orders"'
    )
    found = facts(event(loaded(tmp_path, text), "o", '{"orderId": 7, "lat": 1}'))
    assert (found["namespace"], found["rooms"]) == ("/orders", ["order:7"])


def test_a_volatile_event_is_shown_as_one(orders: Interface) -> None:
    found = event(orders, "order:moved", '{"orderId": 7, "lat": 1}')
    assert ("volatile", "yes") in lines(found)


@pytest.mark.parametrize(
    ("channel", "payload", "reason"),
    [
        ("nope", "{}", "no route has this channel; the table has gone, order:moved"),
        ("order:moved", '{"lat": ', "malformed: not JSON"),
        ("order:moved", "{}", "malformed: lat must be a number, and is absent or null"),
        ("order:moved", '{"lat": 1}', "malformed: lacks the keys that name its recipients"),
        (
            "order:moved",
            f'"{"x" * 999}"',
            "it has 1,001 bytes, CONSTELLATION_MAX_EVENT_BYTES allows 1,000",
        ),
    ],
)
def test_an_event_that_is_dropped_says_why(
    orders: Interface, channel: str, payload: str, reason: str
) -> None:
    found = event(orders, channel, payload)
    assert facts(found) == {"outcome": "dropped", "reason": reason}


def test_an_event_that_nothing_is_sent_for_says_why() -> None:
    found = event(table.load(), "chat:messageRead", '{"userId": 1, "messageIds": []}')
    assert facts(found)["reason"] == "messageIds is an empty list (unless_empty of its route)"


def test_a_join_shows_its_rooms_and_who_decides() -> None:
    assert facts(request(table.load(), "join-chat", "7")) == {
        "outcome": "joins",
        "event": "join-chat",
        "namespace": "/chats",
        "rooms": ["chat:7"],
        "access": ["claim: chat 7"],
    }
    found = facts(request(table.load(), "leave-chat", '{"chatId": "c"}'))
    assert (found["outcome"], found["rooms"], found["access"]) == ("leaves", ["chat:c"], "none")


def test_a_request_to_a_backend_shows_what_it_gets(orders: Interface) -> None:
    found = facts(request(orders, "place-order", '{ "items":[1.0], "shopId":"s"}'))
    assert found == {
        "outcome": "forwarded",
        "event": "place-order",
        "namespace": "/orders",
        "requiresRoom": "shop:s",
        "to": "orders-api:4000, pattern place-order",
        "backend": "orders",
        "signedWith": "",
        "timeoutMs": 5000,
        "payload": {
            "event": "place-order",
            "data": {"items": [1.0], "shopId": "s"},
            "userId": "<userId>",
            "claims": {"tenant": "<tenant>"},
            "sid": "<sid>",
            "namespace": "/orders",
            "rooms": ["<room>"],
            "address": "<address>",
        },
    }


def test_a_text_that_was_cut_inside_an_emoji_is_sent_and_forwarded(orders: Interface) -> None:
    cut = json.loads('"\\ud83d"')
    found = facts(request(orders, "note", ' "\\ud83d"', "/open"))
    assert (found["outcome"], found["payload"]["data"]) == ("forwarded", cut)
    sent = event(table.load(), "chat:new", '{"userId": 1, "chatId": "\\ud83d"}')
    assert facts(sent)["payload"] == {"chatId": cut}
    assert lines(sent)


def test_a_key_is_shown_by_the_name_of_its_variable(orders: Interface) -> None:
    found = facts(request(orders, "pay", "{}"))
    assert found["to"] == "POST https://billing/gateway/pay"
    assert found["signedWith"] == "BILLING_KEY"


@pytest.mark.parametrize(("name", "to"), [("note", "XADD notes"), ("type", "PUBLISH typing")])
def test_a_request_to_redis_has_no_backend_and_nobody_no_user(
    orders: Interface, name: str, to: str
) -> None:
    found = facts(request(orders, name, '"a"', "/open"))
    assert (found["to"], found["backend"], found["timeoutMs"]) == (to, "", None)
    assert list(found["payload"]) == ["event", "data", "sid", "namespace", "address"]


@pytest.mark.parametrize(
    ("name", "data", "namespace", "code", "says"),
    [
        ("nope", "{}", None, "unknown_event", "/orders has no such request; it has follow-order,"),
        ("note", "{}", None, "unknown_event", "/orders has no such request; /open has it."),
        ("note", "{}", "/x", "unknown_event", "/x has no such request; /open has it."),
        ("nope", "{}", "/x", "unknown_event", "/x has no such request; it has none."),
        ("refresh-token", "{}", None, "unknown_event", "refresh-token is built in"),
        ("pay", "{", None, "invalid_request", "The argument is not JSON."),
        ("pay", "{} {}", None, "invalid_request", "The argument is not JSON."),
        ("pay", "", None, "invalid_request", "The argument is not JSON."),
        ("pay", f'"{"x" * 999}"', None, "payload_too_large", "at most 1000 bytes"),
        ("follow-order", "{}", None, "invalid_request", "orderId must be an id, and is absent"),
    ],
)
def test_a_request_that_is_refused_says_why(
    orders: Interface, name: str, data: str, namespace: str | None, code: str, says: str
) -> None:
    found = facts(request(orders, name, data, namespace))
    assert (found["outcome"], found["code"]) == ("refused", code)
    assert says in found["reason"]


def test_the_default_namespace_is_the_first(tmp_path: Path) -> None:
    found = facts(request(loaded(tmp_path, EXTENDS + ORDERS), "pay", "{}"))
    assert found["namespace"] == "/chats"


def test_a_request_to_watch_is_shown_with_the_users_and_who_decides(tmp_path: Path) -> None:
    rows = """
[[request]]
event = "watch"
watches = "users"
access = "chat"
[[request]]
event = "unwatch"
unwatches = "users"
"""
    watching = loaded(tmp_path, EXTENDS + rows)
    found = facts(request(watching, "watch", '{"users": ["a", 7]}'))
    assert (found["outcome"], found["users"], found["emits"]) == ("watches", ["a", "7"], "presence")
    assert found["access"] == ["claim: chat presence:a", "claim: chat presence:7"]
    found = facts(request(watching, "unwatch", '{"users": "a"}'))
    assert (found["outcome"], found["users"]) == ("unwatches", ["a"])
    assert facts(request(watching, "watch", "{}"))["code"] == "invalid_request"
