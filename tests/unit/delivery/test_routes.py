"""Who gets an event: the contract's table, further tables, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.delivery.routes import Route, RoutedEvent, Table, TypedRoute, compile_table
from constellation_ws.interface.rows import Removal, RouteRow
from constellation_ws.messages.commands import Leave
from constellation_ws.messages.events import MalformedEvent, Room
from constellation_ws.messages.frames import encode_event
from constellation_ws.messages.namespaces import Namespaces
from tests.event_cases import EventCase, event_cases
from tests.tables import compiled

CONTRACT = compiled()
CASES = event_cases()

# CONTRACT section 2, said once more by hand: the keys of each payload and those that address it.
PAYLOAD_KEYS = {
    "chat:newMessage": "chatId messageId senderId text timestamp media_type media_url",
    "chat:messageRead": "chatId messageIds timestamp",
    "chat:typing": "userId isTyping chatId",
    "chat:new": "chatId withUser created_at timestamp",
    "chat:deleted": "chatId deletedByUserId timestamp",
    "user:status": "userId status timestamp",
}
ADDRESSES = {
    "chat:newMessage": ["recipientId", "chatId"],
    "chat:messageRead": ["userId"],
    "chat:typing": ["participants", "chatId"],
    "chat:new": ["userId"],
    "chat:deleted": ["participants", "chatId"],
    "user:status": ["notifyUsers"],
}
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6) | st.integers(
    -(2**63), 2**64
)
every_key = sorted({key for keys in PAYLOAD_KEYS.values() for key in keys.split()} | {"to", "x"})


def routed(channel: str, event: dict[str, Any] | str | bytes) -> RoutedEvent:
    message = maybe_routed(channel, event)
    assert message is not None
    return message


def maybe_routed(channel: str, event: dict[str, Any] | str | bytes) -> RoutedEvent | None:
    text = json.dumps(event) if isinstance(event, dict) else event
    return CONTRACT[channel].route(text.encode() if isinstance(text, str) else text)


def payload(message: RoutedEvent) -> str:
    return msgspec.json.encode(message.body).decode()


def loaded(tmp_path: Path, text: str) -> Table:
    file = tmp_path / "routes.toml"
    file.write_text(text, encoding="utf-8")
    return compiled(file)


def test_the_table_has_the_channels_of_the_contract_and_no_others() -> None:
    assert set(CONTRACT) == set(PAYLOAD_KEYS)


@pytest.mark.parametrize("case", [c for c in CASES if c.event is not None], ids=lambda c: c.name)
def test_a_sample_becomes_its_event_for_its_audience(case: EventCase) -> None:
    message = routed(case.channel, case.publish)
    assert message.event == case.event
    assert json.loads(payload(message)) == case.payload
    assert set(message.rooms) - {f"user:{user}" for user in case.except_users} == (
        {f"user:{user}" for user in case.users} | case.rooms
    )
    assert set(message.except_rooms) == {f"user:{user}" for user in case.except_users}
    assert list(message.empties) == (sorted(case.rooms) if case.channel == "chat:deleted" else [])


@pytest.mark.parametrize("case", [c for c in CASES if c.event is None], ids=lambda c: c.name)
def test_a_sample_that_goes_to_nobody_is_nothing_to_send_or_malformed(case: EventCase) -> None:
    if "nothing is sent" in case.name:
        assert maybe_routed(case.channel, case.publish) is None
    else:
        with pytest.raises(MalformedEvent):
            maybe_routed(case.channel, case.publish)


@given(
    st.sampled_from(sorted(CONTRACT)),
    st.dictionaries(st.sampled_from(every_key), st.integers() | st.text(max_size=3)),
    st.lists(ids, max_size=3),
)
def test_only_listed_keys_are_forwarded_and_their_values_are_untouched(
    channel: str, extra: dict[str, Any], people: list[str | int]
) -> None:
    event = extra | {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "a=b",
        "userId": 1,
        "chatId": "c",
        "recipientId": "r",
        "participants": people,
        "notifyUsers": people,
        "messageIds": ["m"],
    }
    keys = PAYLOAD_KEYS[channel].split()
    forwarded = json.loads(payload(routed(channel, event)))
    assert forwarded == {key: event[key] for key in keys if key in event}
    assert list(forwarded) == [key for key in keys if key in event]


ORDER = RouteRow("order:moved", "order-moved", ("lat",), ("order:{orderId}",), namespace="/chats")


@pytest.mark.parametrize(
    "route",
    [
        Route(ORDER),
        TypedRoute(msgspec.structs.replace(ORDER, types={"lat": "number"})),
        *compile_table([ORDER]).values(),
    ],
)
def test_context_is_read_only_on_request(route: Route) -> None:
    message = route.route(b'{"orderId":7,"lat":1,"traceparent":"a"}')
    assert message is not None
    assert (message.traceparent, message.invalid_ids) == (msgspec.UNSET, 0)


@pytest.mark.parametrize(
    ("changed", "is_traced", "is_decisive"),
    [({}, False, True), ({}, True, False), ({"empties": ("order:{orderId}",)}, False, False)],
)
def test_addresses_are_read_first_where_nothing_else_matters_to_a_pod(
    changed: dict[str, Any], *, is_traced: bool, is_decisive: bool
) -> None:
    route = Route(msgspec.structs.replace(ORDER, **changed), is_traced=is_traced)
    assert (route.addresses is not None) is is_decisive


@pytest.mark.parametrize("channel", CONTRACT)
def test_a_traced_table_reads_the_context_along_and_forwards_it_no_more(channel: str) -> None:
    event = dict.fromkeys(ADDRESSES[channel], "x") | {"userId": "y", "messageIds": [1]}
    traced = compiled(is_traced=True)[channel]
    for value, read in (("a", b'"a"'), (None, b"null"), ([1], b"[1]")):
        raw = json.dumps({**event, "traceparent": value, "tracestate": "b"}).encode()
        message = traced.route(raw)
        assert message is not None
        assert bytes(message.traceparent or b"") == read
        assert payload(message) == payload(routed(channel, event))
    plain, carrying = json.dumps(event).encode(), raw
    for route, event_bytes in ((traced, plain), (CONTRACT[channel], carrying)):
        message = route.route(event_bytes)
        assert message is not None
        assert message.traceparent is msgspec.UNSET


@given(st.lists(ids, max_size=4), ids, ids)
def test_ids_name_their_rooms_numbers_as_decimal_strings(
    people: list[str | int], author: str | int, chat: str | int
) -> None:
    event = {"participants": people, "userId": author, "chatId": chat, "isTyping": True}
    message = routed("chat:typing", event)
    assert message.rooms == [*(f"user:{one}" for one in people), f"chat:{chat}"]
    assert message.except_rooms == [f"user:{author}"]


def test_64_bit_ids_stay_whole() -> None:
    message = routed("chat:new", '{"userId": 18446744073709551615, "chatId": 9007199254740993}')
    assert message.rooms == ["user:18446744073709551615"]
    assert payload(message) == '{"chatId":9007199254740993}'


@pytest.mark.parametrize("channel", sorted(ADDRESSES))
def test_an_event_without_any_address_is_malformed(channel: str) -> None:
    everything = dict.fromkeys(PAYLOAD_KEYS[channel].split(), "v") | {"userId": "author"}
    addressless = {k: v for k, v in everything.items() if k not in ADDRESSES[channel]}
    for nobody in ({}, dict.fromkeys(ADDRESSES[channel]), dict.fromkeys(ADDRESSES[channel], "")):
        with pytest.raises(MalformedEvent, match="lacks the keys that name its recipients"):
            maybe_routed(channel, addressless | nobody)


@pytest.mark.parametrize(
    ("channel", "event", "rooms"),
    [
        ("chat:newMessage", {"recipientId": "bob"}, ["user:bob"]),
        ("chat:newMessage", {"chatId": 7}, ["chat:7"]),
        ("chat:newMessage", {"chatId": 7, "recipientId": None}, ["chat:7"]),
        ("chat:deleted", {"participants": ["a"]}, ["user:a"]),
        ("chat:deleted", {"chatId": "c"}, ["chat:c"]),
        ("chat:deleted", {"participants": [], "chatId": "c"}, ["chat:c"]),
        ("user:status", {"notifyUsers": []}, []),
        ("user:status", {"notifyUsers": "one"}, ["user:one"]),
    ],
)
def test_one_of_two_addresses_and_an_empty_list_are_enough(
    channel: str, event: dict[str, Any], rooms: list[str]
) -> None:
    assert routed(channel, event).rooms == rooms


NO_IDS = ["1.5", "true", "{}", '"\\ud83d"', "1e400", "9" * 5_000]


@pytest.mark.parametrize("wrong", NO_IDS)
@pytest.mark.parametrize(
    ("channel", "key"),
    [("chat:new", "userId"), ("chat:typing", "userId"), ("chat:deleted", "chatId")],
)
def test_an_address_that_is_no_id_is_malformed(channel: str, key: str, wrong: str) -> None:
    with pytest.raises(MalformedEvent, match="neither an id nor a list of ids"):
        maybe_routed(channel, f'{{"participants": ["a"], "{key}": {wrong}}}')


@pytest.mark.parametrize("wrong", ["[[1]]", "[null]", "[1.5,{}]"])
@pytest.mark.parametrize(("channel", "key"), [("chat:new", "userId"), ("chat:typing", "userId")])
def test_an_event_whose_only_addresses_are_no_ids_is_malformed(
    channel: str, key: str, wrong: str
) -> None:
    with pytest.raises(MalformedEvent, match=r"lacks.*recipients are not ids"):
        maybe_routed(channel, f'{{"participants": ["a"], "{key}": {wrong}}}')


@pytest.mark.parametrize("wrong", NO_IDS)
def test_an_element_that_is_no_id_costs_itself_only(wrong: str) -> None:
    event = f'{{"participants": ["a", {wrong}, null, 2, [3]], "chatId": [{wrong}], "text": 1.50}}'
    message = routed("chat:deleted", event)
    assert message.rooms == ["user:a", "user:2"]
    assert message.empties == ()
    assert message.invalid_ids == 4
    assert payload(message) == f'{{"chatId":[{wrong}]}}'
    typing = f'{{"participants": ["a"], "userId": ["b", {wrong}]}}'
    assert routed("chat:typing", typing).except_rooms == ["user:b"]


@pytest.mark.parametrize("number", ["1.0", "1e0", "10E-1"])
def test_a_number_with_a_whole_value_is_an_id_and_is_sent_as_it_was_written(number: str) -> None:
    event = f'{{"userId": {number}, "participants": [{number}, "b"], "chatId": {number}}}'
    message = routed("chat:typing", event)
    assert message.rooms == ["user:1", "user:b", "chat:1"]
    assert message.except_rooms == ["user:1"]
    assert message.invalid_ids == 0
    assert payload(message) == f'{{"userId":{number},"chatId":{number}}}'


@pytest.mark.parametrize("unread", ["[]", "[ ]"])
def test_what_is_not_sent_by_its_route_is_not_sent_for_its_odd_addresses_either(
    unread: str,
) -> None:
    assert maybe_routed("chat:messageRead", f'{{"userId": 1.0, "messageIds": {unread}}}') is None


def test_half_an_emoji_is_no_id_but_does_a_text_no_harm() -> None:
    with pytest.raises(MalformedEvent):
        maybe_routed("chat:new", r'{"userId": "\ud83d"}')
    message = routed("chat:newMessage", r'{"chatId": "c", "text": "\ud83d"}')
    assert payload(message) == r'{"chatId":"c","text":"\ud83d"}'


@pytest.mark.parametrize("author", ["", '"userId": null,', '"userId": "",'])
def test_typing_of_nobody_knows_whom_is_malformed(author: str) -> None:
    with pytest.raises(MalformedEvent, match="names its author"):
        maybe_routed("chat:typing", f'{{{author} "participants": ["a", "b"]}}')


@pytest.mark.parametrize("empty", ["[]", "[ ]", "[\r\n\t]"])
def test_no_message_read_is_nothing_to_send(empty: str) -> None:
    assert maybe_routed("chat:messageRead", f'{{"userId": 1, "messageIds": {empty}}}') is None


@pytest.mark.parametrize("some", ["[1]", '["[]"]', '"[]"', "[[]]", "null", "{}"])
def test_what_is_no_empty_list_is_sent(some: str) -> None:
    message = routed("chat:messageRead", f'{{"userId": 1, "messageIds": {some}}}')
    assert payload(message) == f'{{"messageIds":{some}}}'


@given(st.sampled_from(sorted(CONTRACT)), st.binary(max_size=30))
def test_any_bytes_are_routed_or_malformed_and_never_worse(channel: str, raw: bytes) -> None:
    with pytest.raises(MalformedEvent):
        maybe_routed(channel, raw)


def test_two_events_in_a_row_share_nothing() -> None:
    first = routed("chat:newMessage", {"chatId": 1, "recipientId": "a", "text": "first"})
    second = routed("chat:newMessage", {"chatId": 2, "recipientId": "b"})
    assert (payload(first), first.rooms) == ('{"chatId":1,"text":"first"}', ["user:a", "chat:1"])
    assert (payload(second), second.rooms) == ('{"chatId":2}', ["user:b", "chat:2"])


def test_a_file_adds_channels_beside_the_contracts(tmp_path: Path) -> None:
    table = loaded(
        tmp_path,
        """
        [[route]]
        channel = "match:new"
        event = "match"
        keys = ["with", "ключ"]
        to = ["user:{users}", "{anyRoom}"]
        except = "user:{by}"
        unless_empty = "reasons"
        empties = ["room:{users}"]
        """,
    )
    assert set(table) == {*CONTRACT, "match:new"}
    route = table["match:new"]
    raw = '{"users": [1, 2], "by": 2, "anyRoom": "r", "with": {"x": 1.0}, "ключ": "é"}'
    message = route.route(raw.encode())
    assert message is not None
    assert message.rooms == ["user:1", "user:2", "r"]
    assert message.except_rooms == ["user:2"]
    assert message.empties == ["room:1", "room:2"]
    assert payload(message) == '{"with":{"x": 1.0},"ключ":"é"}'
    assert route.route(b'{"users": [1], "by": 2, "reasons": []}') is None
    message = route.route(b'{"users": [], "by": 2, "reasons": [1]}')
    assert message is not None
    assert payload(message) == "{}"


REMOVAL = """
[[route]]
channel = "chat:memberRemoved"
event = "member-removed"
keys = ["chatId"]
to = ["user:{userIds}"]
removes = { who = "user:{userIds}", from = "chat:{chatId}" }
"""


def test_an_event_may_take_users_out_of_rooms(tmp_path: Path) -> None:
    route = loaded(tmp_path, REMOVAL)["chat:memberRemoved"]
    message = route.route(b'{"chatId": 7, "userIds": ["a", 2]}')
    assert message is not None
    assert message.removals == [
        Leave(Room("user:a"), Room("chat:7")),
        Leave(Room("user:2"), Room("chat:7")),
    ]
    assert payload(message) == '{"chatId":7}'


@pytest.mark.parametrize("event", [b'{"userIds": ["a"]}', b'{"userIds": ["a"], "chatId": null}'])
def test_a_removal_that_does_not_say_from_where_is_malformed_and_not_passed_over(
    event: bytes, tmp_path: Path
) -> None:
    with pytest.raises(MalformedEvent, match="users and rooms of the removal"):
        loaded(tmp_path, REMOVAL)["chat:memberRemoved"].route(event)


def test_an_event_whose_lists_multiply_to_too_many_removals_is_malformed(tmp_path: Path) -> None:
    both = REMOVAL.replace("chat:{chatId}", "chat:{chatIds}")
    route = loaded(tmp_path, both)["chat:memberRemoved"]
    many = json.dumps({"userIds": list(range(400)), "chatIds": list(range(400))})
    with pytest.raises(MalformedEvent, match="too many rooms at once"):
        route.route(many.encode())


def test_no_event_of_the_contract_takes_single_users_out_of_rooms() -> None:
    message = routed("chat:deleted", {"chatId": 1})
    assert (message.empties, message.removals) == (["chat:1"], ())


TYPED = """
[[route]]
channel = "order:moved"
event = "order-moved"
keys = ["orderId", "lat", "note"]
to = ["order:{orderId}", "user:{userIds}"]
volatile = true
types = { orderId = "number", lat = "number", userIds = "list?", note = "string?" }
"""


def test_a_route_says_its_namespace_and_whether_it_is_volatile(tmp_path: Path) -> None:
    typed, plain = loaded(tmp_path, TYPED)["order:moved"], CONTRACT["chat:new"]
    assert (typed.namespace, typed.is_volatile) == ("/chats", True)
    assert (plain.namespace, plain.is_volatile) == ("/chats", False)
    assert type(plain) is Route


@pytest.mark.parametrize(
    "event",
    [
        '{"orderId": 7, "lat": 1.50}',
        '{"orderId": 7.0, "lat": 1.50}',
        '{"orderId": 7, "lat": 1.50, "userIds": null, "other": {}}',
    ],
)
def test_an_event_that_fits_the_types_goes_out_untouched(tmp_path: Path, event: str) -> None:
    message = loaded(tmp_path, TYPED)["order:moved"].route(event.encode())
    assert message is not None
    assert message.rooms == ["order:7"]
    assert payload(message).endswith(',"lat":1.50}')


def test_types_leave_out_what_is_no_id_as_without_them(tmp_path: Path) -> None:
    event = b'{"orderId": 7.0, "lat": 1, "userIds": ["a", {}, 2]}'
    message = loaded(tmp_path, TYPED)["order:moved"].route(event)
    assert message is not None
    assert (message.rooms, message.invalid_ids) == (["order:7", "user:a", "user:2"], 1)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ('{"orderId": 7}', "lat must be a number, and is absent or null"),
        ('{"orderId": 7, "lat": null}', "lat must be a number, and is absent or null"),
        ('{"orderId": 7, "lat": "hunter2"}', "lat must be a number"),
        ('{"orderId": "hunter2", "lat": 1}', "orderId must be a number"),
        ('{"orderId": 7, "lat": 1, "note": ["hunter2"]}', "note must be a string or null"),
        (r'{"orderId": "\ud83d", "lat": 1}', "orderId must be a number"),
        ("[]", "not a JSON object"),
    ],
)
def test_an_event_that_does_not_fit_is_malformed_and_the_reason_names_the_key_only(
    tmp_path: Path, event: str, says: str
) -> None:
    with pytest.raises(MalformedEvent) as caught:
        loaded(tmp_path, TYPED)["order:moved"].route(event.encode())
    assert str(caught.value) == says


@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype"])
def test_names_of_javascript_prototypes_are_keys_like_others(tmp_path: Path, name: str) -> None:
    text = f"""
    [[route]]
    channel = "x"
    event = "{name}"
    keys = ["{name}"]
    to = ["{name}:{{{name}}}"]
    types = {{ {name} = "id" }}
    """
    route = loaded(tmp_path, text)["x"]
    message = route.route(f'{{"{name}": 7, "x": 1}}'.encode())
    assert message is not None
    assert (message.event, message.rooms) == (name, [f"{name}:7"])
    assert payload(message) == f'{{"{name}":7}}'
    with pytest.raises(MalformedEvent, match=f"{name} must be an id, and is absent"):
        route.route(b"{}")


def test_a_route_of_another_namespace_names_its_rooms_as_the_pods_do() -> None:
    row = RouteRow(
        "order:status",
        "order-status",
        ("orderId",),
        ("user:{userId}", "order:{orderId}"),
        except_="user:{author}",
        empties=("order:{orderId}",),
        removes=Removal("user:{userId}", "order:{orderId}"),
        namespace="/orders",
    )
    table = compile_table([row], Namespaces(["/chats", "/orders"]))
    message = table["order:status"].route(b'{"orderId":1,"userId":[2,3],"author":4}')
    assert message is not None
    assert message.namespace == "/orders"
    assert message.rooms == ["/orders,user:2", "/orders,user:3", "/orders,order:1"]
    assert message.except_rooms == ["/orders,user:4"]
    assert message.empties == ["/orders,order:1"]
    removals = [(one.who, one.room) for one in message.removals]
    assert removals == [(f"/orders,user:{user}", "/orders,order:1") for user in (2, 3)]
    assert encode_event(message.event, message.body, b"", message.namespace).message == (
        b'42/orders,["order-status",{"orderId":1}]'
    )
