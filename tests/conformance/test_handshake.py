"""HTTP in front of the engine: the opening handshake, heads of every kind, and what is none."""

from __future__ import annotations

import json

import pytest

from tests.conformance.polling import http
from tests.conformance.wire import ENGINE_IO, Wire, request, upgrade_headers, wired
from tests.websocket_frames import PING, PONG, chopped, client_frame

POLLING = "/engine.io/?EIO=4&transport=polling"
SOME_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ITS_PROOF = "s3pplmbitxaq9kygzzhzrbk+xoo="  # in lower case, like all headers here
HEAD_BYTES = 16_384


async def assert_open(wire: Wire) -> None:
    """There is an echo at the other end, and nothing has come before it."""
    opening = await wire.message()
    assert isinstance(opening, str)
    assert opening.startswith("0{")
    await wire.send("4hello")
    assert await wire.message() == "4hello"


async def test_the_answer_to_a_handshake_proves_that_its_key_was_read(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(ENGINE_IO, upgrade_headers(Sec_WebSocket_Key=SOME_KEY)))
        response = await wire.response()
        assert response.status == 101
        assert response.headers == {
            "upgrade": "websocket",
            "connection": "upgrade",
            "sec-websocket-accept": ITS_PROOF,
        }
        await assert_open(wire)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(upgrade_headers(Connection="keep-alive, Upgrade"), id="as Firefox writes it"),
        pytest.param(upgrade_headers(Upgrade="WebSocket"), id="in other letters"),
        pytest.param(
            upgrade_headers(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
            id="with compression",
        ),
        pytest.param(upgrade_headers(Origin="https://example.org"), id="from any page"),
        pytest.param(upgrade_headers(Cookie="a" * 8_000), id="with a large cookie"),
    ],
)
async def test_what_may_be_in_a_handshake_is_let_through_and_nothing_is_negotiated(
    patient_port: int, headers: list[tuple[str, str]]
) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(ENGINE_IO, headers))
        response = await wire.response()
        assert response.status == 101
        assert set(response.headers) == {"upgrade", "connection", "sec-websocket-accept"}
        await assert_open(wire)


async def test_the_first_subprotocol_is_agreed_to(patient_port: int) -> None:
    headers = upgrade_headers(Sec_WebSocket_Protocol="token-abc, chat")
    async with wired(patient_port) as wire:
        await wire.write(request(ENGINE_IO, headers))
        response = await wire.response()
        assert response.headers["sec-websocket-protocol"] == "token-abc"
        await assert_open(wire)


WHOLE_URL = f"http://elsewhere.example:8080{ENGINE_IO}"


@pytest.mark.parametrize("scheme", ["http", "https", "ws"])
async def test_the_target_of_a_handshake_may_be_a_whole_url(patient_port: int, scheme: str) -> None:
    async with wired(patient_port) as wire:
        target = WHOLE_URL.replace("http", scheme, 1)
        await wire.write(request(target, upgrade_headers()))
        assert (await wire.response()).status == 101
        await assert_open(wire)


async def test_the_target_of_any_request_may_be_a_whole_url(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(f"http://elsewhere.example{POLLING}"))
        response = await wire.response()
        assert (response.status, response.body[:1]) == (200, b"0")


async def test_a_handshake_may_come_byte_by_byte(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        await wire.write(*chopped(request(ENGINE_IO, upgrade_headers()), 1))
        assert (await wire.response()).status == 101
        await assert_open(wire)


async def test_a_connection_that_has_polled_may_become_a_websocket(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        for _ in range(2):
            await wire.write(request(POLLING))
            assert (await wire.response()).status == 200
        await wire.write(request(ENGINE_IO, upgrade_headers()) + client_frame(PING, b"early"))
        assert (await wire.response()).status == 101
        assert isinstance(await wire.message(), str)
        assert await wire.frame() == (PONG, b"early")


def without(name: str) -> list[tuple[str, str]]:
    return upgrade_headers(**{name: None})


KEY_TWICE = [*upgrade_headers(), ("Sec-WebSocket-Key", SOME_KEY)]
HOST_TWICE = [*upgrade_headers(), ("Host", "elsewhere")]
REFUSALS = {
    "no Connection": (request(ENGINE_IO, without("Connection")), 400),
    "no Upgrade": (request(ENGINE_IO, without("Upgrade")), 400),
    "another Upgrade": (request(ENGINE_IO, upgrade_headers(Upgrade="h2c")), 400),
    "no version": (request(ENGINE_IO, without("Sec_WebSocket_Version")), 426),
    "an old version": (request(ENGINE_IO, upgrade_headers(Sec_WebSocket_Version="8")), 426),
    "no key": (request(ENGINE_IO, without("Sec_WebSocket_Key")), 400),
    "a short key": (request(ENGINE_IO, upgrade_headers(Sec_WebSocket_Key="c2hvcnQ=")), 400),
    "a key that is no base64": (request(ENGINE_IO, upgrade_headers(Sec_WebSocket_Key="?")), 400),
    "two keys": (request(ENGINE_IO, KEY_TWICE), 400),
    "two hosts": (request(ENGINE_IO, HOST_TWICE), 400),
    "a POST": (request(ENGINE_IO, upgrade_headers(), method="POST"), 405),
    "a POST with a body": (request(ENGINE_IO, upgrade_headers(), method="POST", body=b"x"), 405),
    "HTTP/1.0": (request(ENGINE_IO, upgrade_headers(), version="HTTP/1.0"), 505),
    "a subprotocol that is none": (
        request(ENGINE_IO, upgrade_headers(Sec_WebSocket_Protocol="a b")),
        400,
    ),
    "another path": (request("/elsewhere?EIO=4&transport=websocket", upgrade_headers()), 404),
    "no path": (request("/", upgrade_headers()), 404),
    "long-polling's transport": (request(POLLING, upgrade_headers()), 400),
    "a session that is not there": (request(f"{ENGINE_IO}&sid=nobody", upgrade_headers()), 400),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_handshake_that_is_wrong_is_refused_and_told_why(
    patient_port: int, name: str
) -> None:
    written, status = REFUSALS[name]
    async with wired(patient_port) as wire:
        await wire.write(written)
        response = await wire.response()
        assert response.status == status
        assert response.body
        if status == 426:
            assert response.headers["sec-websocket-version"] == "13"
            assert response.headers["upgrade"] == "websocket"
        if status == 405:
            assert response.headers["allow"] == "get"


MENTIONED_OF_NGINX = {
    "HTTP/1.0": (
        request(ENGINE_IO, upgrade_headers(), version="HTTP/1.0"),
        "old_http",
        ["proxy_http_version 1.1"],
    ),
    "no Upgrade": (
        request(ENGINE_IO),
        "no_upgrade",
        ["proxy_http_version 1.1", "$http_upgrade", "Connection"],
    ),
    "no Upgrade over HTTP/1.0": (
        request(ENGINE_IO, version="HTTP/1.0"),
        "no_upgrade",
        ["proxy_http_version 1.1", "$http_upgrade", "Connection"],
    ),
    "no Upgrade for a session that is there no more": (
        request(f"{ENGINE_IO}&sid=nobody"),
        "no_upgrade",
        ["proxy_http_version 1.1"],
    ),
}


@pytest.mark.parametrize("name", MENTIONED_OF_NGINX)
async def test_what_a_proxy_has_spoiled_is_answered_with_its_remedy(
    patient_port: int, name: str
) -> None:
    written, code, words = MENTIONED_OF_NGINX[name]
    async with wired(patient_port) as wire:
        await wire.write(written)
        answer = json.loads((await wire.response()).body)
    assert answer["data"]["code"] == code
    assert [word for word in words if word not in answer["message"]] == []
    assert answer.get("code") == (3 if code == "no_upgrade" else None), "the reference server's"


HOSTS = {
    "none": ("HTTP/1.1", [], 400),
    "two": ("HTTP/1.1", ["a.example", "b.example"], 400),
    "the same twice": ("HTTP/1.1", ["a.example", "a.example"], 400),
    "a list": ("HTTP/1.1", ["a.example, b.example"], 400),
    "a path": ("HTTP/1.1", ["a.example/path"], 400),
    "a user": ("HTTP/1.1", ["user@a.example"], 400),
    "two with HTTP/1.0": ("HTTP/1.0", ["a.example", "b.example"], 400),
    "none with HTTP/1.0": ("HTTP/1.0", [], 200),
    "one with HTTP/1.0": ("HTTP/1.0", ["a.example"], 200),
    "an empty one": ("HTTP/1.1", [""], 200),
    "a port": ("HTTP/1.1", ["a.example:7000"], 200),
    "an IPv6 address": ("HTTP/1.1", ["[fd00::1]:7000"], 200),
    "an underscore": ("HTTP/1.1", ["chat_gateway"], 200),
}


@pytest.mark.parametrize("name", HOSTS)
async def test_a_request_has_one_host(patient_port: int, name: str) -> None:
    version, hosts, status = HOSTS[name]
    lines = [f"GET {POLLING} {version}", *(f"Host: {host}" for host in hosts), "", ""]
    async with wired(patient_port) as wire:
        await wire.write("\r\n".join(lines).encode())
        response = await wire.response()
    assert response.status == status
    if status == 400:
        assert json.loads(response.body)["data"]["code"] == "bad_host"


H2C = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")]
TLS = [("Connection", "upgrade"), ("Upgrade", "TLS/1.0, HTTP/1.1")]


@pytest.mark.parametrize("offer", [H2C, TLS], ids=["h2c", "TLS"])
@pytest.mark.parametrize("piece_bytes", [1, 100, 100_000])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_offer_of_another_protocol_is_ignored(
    patient_port: int, offer: list[tuple[str, str]], piece_bytes: int, is_chunked: bool
) -> None:
    """Clients of Java and Ktor make it with every request."""
    async with http(patient_port) as client:
        polling = await client.open()
        target = f"{POLLING}&sid={polling.sid}"
        chunked = [*offer, ("Transfer-Encoding", "chunked")]
        post = (
            request(target, chunked, method="POST") + b"6\r\n4hello\r\n0\r\n\r\n"
            if is_chunked
            else request(target, offer, method="POST", body=b"4hello")
        )
        get = request(POLLING, offer)
        async with wired(patient_port) as wire:
            await wire.write(*chopped(post + get + post, piece_bytes))
            answers = [await wire.response() for _ in range(3)]
        assert [(one.status, one.body[:2]) for one in answers] == [
            (200, b"ok"),
            (200, b"0{"),
            (200, b"ok"),
        ]
        assert await polling.packets() == ["4hello", "4hello"]


async def test_an_offer_beside_that_of_a_websocket_does_no_harm(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(POLLING, H2C))
        assert (await wire.response()).status == 200
        await wire.write(request(ENGINE_IO, upgrade_headers()) + client_frame(PING, b"early"))
        assert (await wire.response()).status == 101
        assert isinstance(await wire.message(), str)
        assert await wire.frame() == (PONG, b"early")


GARBAGE = {
    "a tunnel": b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
    "a tunnel to a path": b"CONNECT /engine.io/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "no path": b"GET engine.io HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "a URL without a host": b"GET http:///engine.io/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": b"\x00" * 1000,
    "a frame": client_frame(PING, b"x"),
    "half a request line": b"GET\r\n\r\n",
    "no method": b"BREW /engine.io/ HTTP/1.1\r\n\r\n",
    "no version": b"GET /engine.io/\r\n\r\n",
    "a space in a header's name": request(POLLING, [("a b", "c")]),
    "two lengths": request(POLLING, [("Content-Length", "1"), ("Content-Length", "2")]),
    "a length that is none": request(POLLING, [("Content-Length", "-1")], method="POST"),
    "a length and chunks": request(
        POLLING, [("Content-Length", "1"), ("Transfer-Encoding", "chunked")], method="POST"
    ),
    "a line feed in the target": b"GET /engine.io/\n?EIO=4 HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_http_is_refused_and_hung_up_on(patient_port: int, name: str) -> None:
    async with wired(patient_port) as wire:
        await wire.write(GARBAGE[name])
        assert (await wire.response()).status == 400
        assert await wire.ended() == b""


HEADS_TOO_LARGE = {
    "a query of 64 KB": request(f"{POLLING}&t={'x' * 65_536}"),
    "a query of 64 KB for a WebSocket": request(f"{ENGINE_IO}&t={'x' * 65_536}", upgrade_headers()),
    "a header of 64 KB": request(POLLING, [("X-Large", "x" * 65_536)]),
    "a header's name of 64 KB": request(POLLING, [("x" * 65_536, "x")]),
    "a thousand headers": request(POLLING, [(f"X-{n}", "some value") for n in range(1_500)]),
    "a head without end": f"GET {POLLING} HTTP/1.1\r\n".encode() + b"X-Y: z\r\n" * 10_000,
    "a target without end": b"GET /" + b"x" * 100_000,
}


@pytest.mark.parametrize("name", HEADS_TOO_LARGE)
async def test_a_head_that_is_too_large_is_refused(patient_port: int, name: str) -> None:
    async with wired(patient_port) as wire:
        await wire.write(HEADS_TOO_LARGE[name])
        assert (await wire.response()).status == 431


async def test_a_head_of_nearly_the_limit_is_taken(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        for _ in range(2):
            await wire.write(request(POLLING, [("X-Large", "x" * (HEAD_BYTES - 500))]))
            assert (await wire.response()).status == 200
        await wire.write(request(POLLING, [("X-Large", "x" * HEAD_BYTES)]))
        assert (await wire.response()).status == 431


async def test_a_large_body_does_not_count_for_its_head(patient_port: int) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        target = f"{POLLING}&sid={polling.sid}"
        body = b"4" + b"x" * (4 * HEAD_BYTES)
        async with wired(patient_port) as wire:
            for _ in range(2):
                await wire.write(request(target, method="POST", body=body))
                response = await wire.response()
                assert (response.status, response.body) == (200, b"ok")
                assert await polling.packets() == [body.decode()]


async def test_requests_in_one_segment_are_answered_in_order(patient_port: int) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(POLLING) + request("/elsewhere") + request(POLLING))
        assert [(await wire.response()).status for _ in range(3)] == [200, 404, 200]


async def test_a_handshake_behind_a_poll_that_waits_is_refused(patient_port: int) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        async with wired(patient_port) as wire:
            poll = request(f"{POLLING}&sid={polling.sid}")
            await wire.write(poll + request(ENGINE_IO, upgrade_headers()))
            assert (await wire.response()).status == 400
            assert await wire.ended() == b""


async def test_garbage_behind_a_good_request_is_refused_after_its_answer(
    patient_port: int,
) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(POLLING))
        assert (await wire.response()).status == 200
        await wire.write(b"\x00garbage\r\n\r\n")
        assert (await wire.response()).status == 400
        assert await wire.ended() == b""


# Bodies


async def test_a_body_may_come_in_chunks(patient_port: int) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        head = request(
            f"{POLLING}&sid={polling.sid}", [("Transfer-Encoding", "chunked")], method="POST"
        )
        async with wired(patient_port) as wire:
            await wire.write(head, b"3\r\n4he\r\n", b"3\r\nllo\r\n", b"0\r\n\r\n")
            response = await wire.response()
            assert (response.status, response.body) == (200, b"ok")
            await wire.write(*chopped(head + b"2\r\n4x\r\n0\r\n\r\n", 1))
            assert (await wire.response()).status == 200
        assert await polling.packets() == ["4hello", "4x"]


async def test_chunks_that_are_none_are_refused_and_the_session_goes_on(patient_port: int) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        head = request(
            f"{POLLING}&sid={polling.sid}", [("Transfer-Encoding", "chunked")], method="POST"
        )
        async with wired(patient_port) as wire:
            await wire.write(head, b"3\r\n4he\r\n", b"what?\r\n")
            assert (await wire.response()).status == 400
            assert await wire.ended() == b""
        await polling.send("4hello")
        assert await polling.packets() == ["4hello"]


async def test_a_body_without_end_is_refused_before_it_is_collected(patient_port: int) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        head = request(
            f"{POLLING}&sid={polling.sid}", [("Transfer-Encoding", "chunked")], method="POST"
        )
        chunk = b"10000\r\n4" + b"x" * 65_535 + b"\r\n"
        async with wired(patient_port) as wire:
            await wire.write(head, *[chunk] * 20)
            assert (await wire.response()).status == 413
        assert await polling.packets() == ["1"]


@pytest.mark.parametrize("ending", ["vanishes", "half-closes"])
async def test_an_upload_that_breaks_off_is_not_taken_and_the_session_goes_on(
    patient_port: int, ending: str
) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        head = request(f"{POLLING}&sid={polling.sid}", [("Content-Length", "6")], method="POST")
        async with wired(patient_port) as wire:
            await wire.write(head, b"4he")
            if ending == "half-closes":
                wire.half_close()
                assert await wire.ended() == b""
        await polling.turns()
        await polling.send("4hello")
        assert await polling.packets() == ["4hello"]


async def test_an_upload_that_stops_is_given_up_with_its_session(hasty_port: int) -> None:
    async with http(hasty_port) as client:
        polling = await client.open()
        head = request(f"{POLLING}&sid={polling.sid}", [("Content-Length", "6")], method="POST")
        async with wired(hasty_port) as wire:
            await wire.write(head, b"4he")
            response = await wire.response()
            assert response.status == 408
            assert await wire.ended() == b""
        last = await polling.poll()  # the heartbeat may have ended it first
        assert last.status == 400 or last.text.endswith("1")


async def test_a_client_that_asks_whether_to_go_on_is_told_so(patient_port: int) -> None:
    async with http(patient_port) as client:
        polling = await client.open()
        headers = [("Content-Length", "6"), ("Expect", "100-continue")]
        async with wired(patient_port) as wire:
            await wire.write(request(f"{POLLING}&sid={polling.sid}", headers, method="POST"))
            assert (await wire.response()).status == 100
            await wire.write(b"4hello")
            assert (await wire.response()).status == 200
        assert await polling.packets() == ["4hello"]
