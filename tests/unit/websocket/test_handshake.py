"""The opening handshake: which requests are accepted, and how the others are answered."""

import base64
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from constellation_ws.websocket import (
    Accept,
    Refuse,
    accept_key,
    check_upgrade,
    refusal_response,
    upgrade_response,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455's own example."""

GOOD = {
    b"host": b"example.com",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": KEY,
    b"sec-websocket-version": b"13",
}


def decide(**changes: bytes | None) -> Accept | Refuse:
    """Decide about the good request with some headers changed, or left out where None."""
    headers = GOOD | {name.replace("_", "-").encode(): value for name, value in changes.items()}
    kept = [(name, value) for name, value in headers.items() if value is not None]
    return check_upgrade(b"GET", b"HTTP/1.1", kept)


def status_of(decision: Accept | Refuse) -> HTTPStatus | None:
    return decision.status if isinstance(decision, Refuse) else None


def test_the_key_is_answered_as_in_the_rfc() -> None:
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_good_request_is_accepted_with_its_key() -> None:
    assert decide() == Accept(KEY)


@pytest.mark.parametrize("value", [b"WebSocket", b"h2c, websocket", b"foo ,\tWEBSOCKET"])
def test_upgrade_is_a_list_in_any_case(value: bytes) -> None:
    assert decide(upgrade=value) == Accept(KEY)


@pytest.mark.parametrize("value", [b"upgrade", b"keep-alive, Upgrade", b"UPGRADE , close"])
def test_connection_is_a_list_in_any_case(value: bytes) -> None:
    assert decide(connection=value) == Accept(KEY)


def test_lists_may_be_spread_over_several_headers() -> None:
    headers = [*GOOD.items(), (b"connection", b"keep-alive"), (b"upgrade", b"h2c")]
    assert check_upgrade(b"GET", b"HTTP/1.1", headers) == Accept(KEY)


def test_offers_of_extensions_are_passed_over() -> None:
    decision = decide(sec_websocket_extensions=b"permessage-deflate; client_max_window_bits")
    assert decision == Accept(KEY)
    assert isinstance(decision, Accept)
    assert b"extensions" not in upgrade_response(decision)


@pytest.mark.parametrize(
    "offers",
    [
        [b"token-abc"],
        [b"token-abc, chat"],
        [b" token-abc\t,chat"],
        [b"token-abc,"],
        [b"token-abc", b"chat"],
    ],
)
def test_the_first_subprotocol_that_is_offered_is_agreed_to(offers: list[bytes]) -> None:
    """A browser fails a handshake whose answer chooses none of those that its page offers."""
    headers = [*GOOD.items(), *((b"sec-websocket-protocol", offer) for offer in offers)]
    decision = check_upgrade(b"GET", b"HTTP/1.1", headers)
    assert decision == Accept(KEY, b"token-abc")
    assert isinstance(decision, Accept)
    answer = upgrade_response(decision)
    assert answer.endswith(b"\r\nsec-websocket-protocol: token-abc\r\n\r\n")
    assert answer.count(b"sec-websocket-protocol") == 1


@pytest.mark.parametrize("offer", [b"", b" ", b",chat", b"a b", b'"chat"', b"a\xc3\xa9", b"a;b"])
def test_a_subprotocol_that_is_no_token_is_refused(offer: bytes) -> None:
    assert status_of(decide(sec_websocket_protocol=offer)) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"get", b"CONNECT"])
def test_another_method_is_told_which_one_is_allowed(method: bytes) -> None:
    decision = check_upgrade(method, b"HTTP/1.1", GOOD.items())
    assert isinstance(decision, Refuse)
    assert decision.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert (b"allow", b"GET") in decision.headers


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/2"])
def test_another_version_of_http_is_refused(version: bytes) -> None:
    decision = check_upgrade(b"GET", version, GOOD.items())
    assert status_of(decision) == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


@pytest.mark.parametrize("value", [None, b"", b"h2c", b"websockets", b"web socket"])
def test_a_request_for_anything_but_websocket_is_told_to_upgrade(value: bytes | None) -> None:
    decision = decide(upgrade=value)
    assert isinstance(decision, Refuse)
    assert decision.status == HTTPStatus.UPGRADE_REQUIRED
    assert (b"upgrade", b"websocket") in decision.headers


@pytest.mark.parametrize("value", [None, b"", b"close", b"keep-alive", b"upgraded"])
def test_a_connection_header_without_upgrade_is_refused(value: bytes | None) -> None:
    assert status_of(decide(connection=value)) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("value", [None, b"", b"8", b"12", b"14", b"013", b"13, 8", b"thirteen"])
def test_another_version_is_told_the_one_that_is_spoken(value: bytes | None) -> None:
    decision = decide(sec_websocket_version=value)
    assert isinstance(decision, Refuse)
    assert decision.status == HTTPStatus.UPGRADE_REQUIRED
    assert (b"sec-websocket-version", b"13") in decision.headers


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"x",
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZQ== ",
        b"dGhlIHNhbXBsZSBub25jZQ==, AAAA",
        b"dGhl IHNhbXBsZSBub25jZQ==",
        b"\xff" * 24,
        base64.b64encode(bytes(15)),
        base64.b64encode(bytes(17)),
    ],
)
def test_a_key_that_is_not_16_bytes_in_base64_is_refused(key: bytes | None) -> None:
    assert status_of(decide(sec_websocket_key=key)) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("name", [b"host", b"sec-websocket-key"])
def test_a_header_that_must_be_there_once_is_refused_twice(name: bytes) -> None:
    headers = [*GOOD.items(), (name, GOOD[name])]
    assert status_of(check_upgrade(b"GET", b"HTTP/1.1", headers)) == HTTPStatus.BAD_REQUEST


def test_a_request_without_a_host_is_refused() -> None:
    assert status_of(decide(host=None)) == HTTPStatus.BAD_REQUEST


@given(st.binary(min_size=16, max_size=16))
def test_any_16_bytes_make_a_key(nonce: bytes) -> None:
    key = base64.b64encode(nonce)
    assert decide(sec_websocket_key=key) == Accept(key)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), st.binary(max_size=40)))
def test_any_header_values_are_decided_about(values: dict[bytes, bytes]) -> None:
    decision = check_upgrade(b"GET", b"HTTP/1.1", (GOOD | values).items())
    assert isinstance(decision, Accept | Refuse)


def test_the_answer_to_an_accepted_request_is_complete() -> None:
    assert upgrade_response(Accept(KEY)) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"upgrade: websocket\r\n"
        b"connection: Upgrade\r\n"
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


def test_the_answer_to_a_refused_request_ends_the_connection() -> None:
    refuse = Refuse(HTTPStatus.SERVICE_UNAVAILABLE, ((b"retry-after", b"3"),), b"Full.")
    assert refusal_response(refuse) == (
        b"HTTP/1.1 503 Service Unavailable\r\n"
        b"retry-after: 3\r\n"
        b"connection: close\r\n"
        b"content-type: text/plain; charset=utf-8\r\n"
        b"content-length: 5\r\n"
        b"\r\n"
        b"Full."
    )


def shake_hands(answer: bytes | None) -> ClientProtocol:
    """Let a websockets client open a connection, with our own answer or with the one given."""
    client = ClientProtocol(parse_uri("ws://example.com/socket.io/?EIO=4"))
    client.send_request(client.connect())
    head, *lines = b"".join(client.data_to_send()).rstrip(b"\r\n").split(b"\r\n")
    method, _target, version = head.split(b" ")
    headers = [line.split(b": ", 1) for line in lines]
    decision = check_upgrade(method, version, [(name.lower(), value) for name, value in headers])
    assert isinstance(decision, Accept)
    client.receive_data(answer or upgrade_response(decision))
    return client


def test_a_websockets_client_opens_a_connection() -> None:
    client = shake_hands(None)
    assert client.handshake_exc is None
    assert client.state is State.OPEN


def test_a_websockets_client_reads_a_refusal() -> None:
    refuse = decide(sec_websocket_version=b"12")
    assert isinstance(refuse, Refuse)
    client = shake_hands(refusal_response(refuse))
    (response,) = client.events_received()
    assert isinstance(response, Response)
    assert response.status_code == HTTPStatus.UPGRADE_REQUIRED
    assert response.headers["Sec-WebSocket-Version"] == "13"
    assert response.body == refuse.body
