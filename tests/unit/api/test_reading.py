"""What a request says, from its bytes, and what each that cannot be read is told."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.api.reading import (
    check_media_type,
    read_body,
    read_parameters,
    read_retry_key,
    read_token,
)
from constellation_ws.api.shapes import (
    MAX_EVENTS,
    Emission,
    Event,
    Events,
    MembersQuery,
    NoParameters,
    UserPath,
    UserRoomPath,
    UsersQuery,
)
from constellation_ws.services.refusals import RequestRefused

BROKEN = r'"\ud83d"'


def headers(**fields: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]


# Credentials


@pytest.mark.parametrize("value", ["Bearer k", "bearer k", "BEARER  k "])
def test_a_key_is_a_bearer_token(value: str) -> None:
    assert read_token(headers(authorization=value)) == "k"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        *(
            headers(authorization=value)
            for value in ("", "Bearer", "Bearer ", "k", "Basic azp=", "Digest k")
        ),
        [*headers(authorization="Bearer k"), *headers(authorization="Bearer l")],
    ],
)
def test_without_one_key_nobody_is_known(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(RequestRefused, match="Authorization: Bearer") as caught:
        read_token(fields)
    assert caught.value.code == "unauthorized"


# Idempotency keys


def test_an_idempotency_key_is_taken_as_it_is() -> None:
    assert read_retry_key([]) is None
    for value in ('"8e03-97"', "k", "k" * 255):
        assert read_retry_key(headers(idempotency_key=value)) == value


@pytest.mark.parametrize("value", ["", " ", "a b", "ключ", "k" * 256])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(value: str) -> None:
    with pytest.raises(RequestRefused, match="1 to 255 visible ASCII characters"):
        read_retry_key(headers(idempotency_key=value))


def test_two_idempotency_keys_are_none() -> None:
    with pytest.raises(RequestRefused):
        read_retry_key([*headers(idempotency_key="a"), *headers(idempotency_key="b")])


# Media types


@pytest.mark.parametrize(
    "value",
    ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_json_in_utf8_is_accepted(value: str) -> None:
    check_media_type(headers(content_type=value, content_encoding="identity"))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        headers(content_type="text/plain"),
        headers(content_type="application/x-www-form-urlencoded"),
        headers(content_type="application/json; charset=latin1"),
        headers(content_type="application/json", content_encoding="gzip"),
        [*headers(content_type="application/json"), *headers(content_type="text/plain")],
    ],
)
def test_other_media_types_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(RequestRefused) as caught:
        check_media_type(fields)
    assert caught.value.code == "unsupported_media_type"


# Parameters


def test_parameters_come_from_the_path_and_the_query() -> None:
    at = read_parameters({"room": "chat:1"}, b"limit=5&cursor=u%2F%D0%AF+1", MembersQuery)

    assert at == MembersQuery("chat:1", "u/Я 1", 5)
    assert read_parameters({}, b"", UsersQuery) == UsersQuery(None, 100)


@pytest.mark.parametrize(
    "query",
    [
        *(b"limit=0", b"limit=1001", b"limit=x", b"limit=", b"limit=1.5", b"limit=1&limit=2"),
        *(b"cursor=%ff", b"cursor=\xff", b"page=2", b"user=u2", b"a=1&" * 30),
    ],
)
def test_parameters_that_cannot_be_read_are_refused(query: bytes) -> None:
    with pytest.raises(RequestRefused, match="the parameters cannot be read") as caught:
        read_parameters({}, query, UsersQuery)
    assert caught.value.code == "invalid_request"


def test_the_query_cannot_say_what_the_path_says() -> None:
    with pytest.raises(RequestRefused, match="twice"):
        read_parameters({"user": "u1"}, b"user=u2", UserPath)
    assert read_parameters({}, b"", NoParameters) == NoParameters()


@pytest.mark.parametrize(
    "in_path",
    [
        {"user": "u", "room": "r", "namespace": "n" * 256},
        {"user": "u" * 1_000, "room": "r" * 1_000, "namespace": ""},
    ],
)
def test_names_may_be_long(in_path: dict[str, str]) -> None:
    assert read_parameters(in_path, b"", UserRoomPath) == UserRoomPath(**in_path)


@pytest.mark.parametrize("wrong", [{"user": ""}, {"room": ""}, {"namespace": "n" * 257}])
def test_names_that_are_empty_or_no_namespace_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(RequestRefused, match="the parameters cannot be read"):
        read_parameters({"user": "u", "room": "r"} | wrong, b"", UserRoomPath)


# Bodies


def test_a_request_holds_up_to_a_hundred_events() -> None:
    event = b'{"channel":"%b","data":{}}' % (b"c" * 256)
    assert len(read_body(b"[%b]" % b",".join([event] * 100), Events)) == 100
    with pytest.raises(RequestRefused):
        read_body(b"[%b]" % b",".join([event] * 101), Events)


def test_values_stay_as_they_were_written() -> None:
    body = b'{"channel":"c","data": {"id": 9007199254740993, "x": 1.0, "t": "\\u00fc"} }'

    assert bytes(read_body(body, Events).data) == (
        b'{"id": 9007199254740993, "x": 1.0, "t": "\\u00fc"}'
    )


def test_a_list_of_events_keeps_its_order() -> None:
    events = read_body(
        json.dumps([{"channel": str(n), "data": {}} for n in range(5)]).encode(), Events
    )

    assert [event.channel for event in events] == ["0", "1", "2", "3", "4"]


def test_an_event_without_data_sends_null() -> None:
    assert read_body(b'{"event":"e"}', Emission).argument() == msgspec.Raw(b"null")


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (f'{{"event":"e","data":{{"text":{BROKEN}}}}}', Emission),
        (f' {{"data" : {{"text":{BROKEN}}} , "event":"e"}}', Emission),
        (f'{{"channel":"c","data":{{"text":{BROKEN}}}}}', Events),
    ],
)
def test_half_of_a_surrogate_pair_costs_no_event(body: str, shape: object) -> None:
    data = read_body(body.encode(), shape).data

    assert bytes(data) == f'{{"text":{BROKEN}}}'.encode()


def test_half_of_a_surrogate_pair_costs_none_of_a_list() -> None:
    body = f'[{{"channel":"a","data":{{"t":{BROKEN}}}}},{{"channel":"b","data":{{}}}}]'

    assert [(one.channel, bytes(one.data)) for one in read_body(body.encode(), Events)] == [
        ("a", f'{{"t":{BROKEN}}}'.encode()),
        ("b", b"{}"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"x", b"{'a':1}", b'{"event":"e","data":}', b'{"event":"e"} x'),
        *(b'{"event":"e","data":"\xff"}', b'\xef\xbb\xbf{"event":"e"}', b'{"event":"\\ud83d}'),
        *(b'{"event":"e","data":NaN}', '{"event":"e"}'.encode("utf-16")),
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_body(body, Emission)
    assert (caught.value.code, caught.value.message) == (
        "invalid_json",
        "the body is not JSON in UTF-8",
    )


@pytest.mark.parametrize(
    ("body", "shape", "name"),
    [
        (b'{"event":"\\ud83d","data":1}', Emission, "event"),
        (b'{"event":"e","namespace":"\\ud83d"}', Emission, "namespace"),
        (b'[{"channel":"c","data":{}},{"channel":"\\ud83d","data":{}}]', Events, "channel"),
    ],
)
def test_half_of_a_surrogate_pair_in_a_name_is_refused_as_such(
    body: bytes, shape: object, name: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_body(body, shape)
    assert caught.value.code == "invalid_request"
    assert caught.value.message.startswith(
        f"the body cannot be read: `{name}` holds half of a surrogate pair"
    )


MANY = b"[" + b",".join([b'{"channel":"c","data":{}}'] * (MAX_EVENTS + 1)) + b"]"


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        *((body, Emission) for body in (b"null", b"1", b"[]", b"{}", b'{"event":""}')),
        *((body, Emission) for body in (b'{"event":1}', b'{"event":"e","dta":1}')),
        (f'{{"event":1,"data":{BROKEN}}}'.encode(), Emission),
        *((body, Events) for body in (b"[]", b"[[]]", b'{"channel":"c"}', MANY)),
        (b'{"channel":"%b","data":{}}' % (b"c" * 257), Events),
        (MANY.replace(b"{}", b'{"t":"\\ud83d"}'), Events),
    ],
)
def test_json_of_another_shape_is_refused(body: bytes, shape: object) -> None:
    with pytest.raises(RequestRefused, match="the body cannot be read: ") as caught:
        read_body(body, shape)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    "deep", [b"[" * 100_000, b'{"data":' * 100_000, b'{"event":"e","data":' + b"[" * 100_000]
)
def test_nesting_is_bounded(deep: bytes) -> None:
    with pytest.raises(RequestRefused):
        read_body(deep, Emission)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def read_or_refused(body: bytes, shape: object) -> Any:
    """What is read, or None where that is refused; nothing else is raised."""
    with contextlib.suppress(RequestRefused):
        return read_body(body, shape)
    return None


@given(json_values | st.fixed_dictionaries({"event": st.text(), "data": json_values}))
def test_every_json_value_is_read_or_refused(value: object) -> None:
    read = read_or_refused(json.dumps(value).encode(), Emission)

    if read is not None:
        assert isinstance(value, dict)
        assert read.event == value["event"]
        assert json.loads(bytes(read.argument())) == value.get("data")


@given(st.binary(max_size=100))
def test_all_bytes_are_read_or_refused(body: bytes) -> None:
    assert isinstance(read_or_refused(body, Events), Event | list | None)
