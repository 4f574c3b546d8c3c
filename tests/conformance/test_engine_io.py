"""Engine.IO v4, case by case of its protocol suite, and what its document says besides.

The heartbeats are nearly those of the suite, and awaited where it sleeps.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.conformance.conftest import PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS
from tests.conformance.polling import Http, Polling, http
from tests.conformance.wire import (
    ENGINE_IO,
    NO_STATUS,
    Response,
    Wire,
    request,
    upgrade_headers,
    websocket,
    wired,
)
from tests.waiting import PATIENCE_SECONDS

OPENING_KEYS = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
SEVERAL = "4test1\x1e4test2\x1e4test3"
MIXED = "4hello\x1ebAQIDBA=="


@pytest_asyncio.fixture
async def patient(patient_port: int) -> AsyncIterator[Http]:
    async with http(patient_port) as client:
        yield client


@pytest_asyncio.fixture
async def hasty(hasty_port: int) -> AsyncIterator[Http]:
    async with http(hasty_port) as client:
        yield client


@pytest_asyncio.fixture
async def polling(patient: Http) -> Polling:
    return await patient.open()


@pytest_asyncio.fixture
async def ws(patient_port: int) -> AsyncIterator[Wire]:
    async with websocket(patient_port) as wire:
        await wire.message()
        yield wire


@asynccontextmanager
async def waiting_poll(port: int, polling: Polling) -> AsyncIterator[Wire]:
    """A poll that has reached the server and waits there."""
    async with wired(port) as wire:
        await wire.write(request(f"/engine.io/?EIO=4&transport=polling&sid={polling.sid}"))
        await polling.turns()
        yield wire


def assert_answered(response: Response, text: str) -> None:
    assert (response.status, response.body.decode()) == (200, text)


# Handshake


async def test_polling_opens_a_session_that_may_be_upgraded(hasty: Http) -> None:
    answer = await hasty.ask(EIO="4", transport="polling")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    opening = json.loads(answer.text.removeprefix("0"))
    assert set(opening) == OPENING_KEYS
    assert opening["upgrades"] == ["websocket"]
    assert_limits(opening)


async def test_a_websocket_opens_a_session_that_need_not_be_upgraded(hasty_port: int) -> None:
    async with websocket(hasty_port) as wire:
        message = await wire.message()
    assert isinstance(message, str)
    opening = json.loads(message.removeprefix("0"))
    assert set(opening) == OPENING_KEYS
    assert opening["upgrades"] == []
    assert_limits(opening)


def assert_limits(opening: dict[str, object]) -> None:
    """Milliseconds and bytes, as whole numbers."""
    assert isinstance(opening["sid"], str)
    limits = [opening[key] for key in ("pingInterval", "pingTimeout", "maxPayload")]
    assert limits == [PING_INTERVAL_SECONDS * 1000, PING_TIMEOUT_SECONDS * 1000, 1_000_000]
    assert all(type(limit) is int for limit in limits)


BAD_QUERIES: dict[str, dict[str, Any]] = {
    "no EIO": {"transport": "polling"},
    "another EIO": {"EIO": "abc", "transport": "polling"},
    "an EIO of the past": {"EIO": "3", "transport": "polling"},
    "no transport": {"EIO": "4"},
    "an unknown transport": {"EIO": "4", "transport": "abc"},
    "an unknown sid": {"EIO": "4", "transport": "polling", "sid": "test-unknown"},
    "nothing at all": {},
}


@pytest.mark.parametrize("name", BAD_QUERIES)
async def test_a_request_with_a_bad_query_is_refused(patient: Http, name: str) -> None:
    answer = await patient.ask(**BAD_QUERIES[name])
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert set(json.loads(answer.text)) == {"code", "message", "data"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_only_a_get_opens_a_session(patient: Http, method: str) -> None:
    answer = await patient.ask(method, EIO="4", transport="polling")
    assert (answer.status, answer.code) == (400, "bad_method")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
async def test_a_session_takes_no_other_method_and_goes_on(
    patient: Http, polling: Polling, method: str
) -> None:
    answer = await patient.ask(method, EIO="4", transport="polling", sid=polling.sid)
    assert answer.status == 400
    await polling.send("4still here")
    assert await polling.packets() == ["4still here"]


@pytest.mark.parametrize(
    "query",
    ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc", ""],
)
async def test_a_websocket_with_a_bad_query_is_refused(patient_port: int, query: str) -> None:
    async with wired(patient_port) as wire:
        await wire.write(request(f"/engine.io/?{query}", upgrade_headers()))
        response = await wire.response()
        assert response.status == 400
        assert await wire.ended() == b""


async def test_a_websocket_without_its_upgrade_header_is_refused(patient: Http) -> None:
    answer = await patient.ask(EIO="4", transport="websocket")
    assert (answer.status, answer.code) == (400, "no_upgrade")


# Messages


@pytest.mark.parametrize("payload", ["4hello", SEVERAL, MIXED, "4", "4\x1f привет 👋"])
async def test_a_payload_is_taken_and_comes_back(polling: Polling, payload: str) -> None:
    answer = await polling.post(payload)
    assert (answer.status, answer.text) == (200, "ok")
    assert "\x1e".join(await polling.packets()) == payload


async def test_a_poll_waits_for_a_message(polling: Polling) -> None:
    poll = asyncio.create_task(polling.packets())
    await polling.send("4hello")
    assert await poll == ["4hello"]


NO_PACKETS = {
    "an unknown type": b"abc",
    "nothing": b"",
    "a good packet and an empty one": b"4hello\x1e",
    "a ping, which the server sends": b"2",
    "an open packet": b"0{}",
    "an upgrade": b"5",
    "a noop": b"6",
    "what is no base64": b"b@@@@",
    "what is no UTF-8": b"4\xff\xfe",
}


@pytest.mark.parametrize("name", NO_PACKETS)
async def test_a_payload_that_is_none_closes_the_session(polling: Polling, name: str) -> None:
    assert (await polling.post(NO_PACKETS[name])).status == 400
    assert (await polling.poll()).status == 400


async def test_a_poll_that_waits_is_told_when_a_payload_is_none(
    patient_port: int, polling: Polling
) -> None:
    async with waiting_poll(patient_port, polling) as poll:
        assert (await polling.post("abc")).status == 400
        assert_answered(await poll.response(), "1")
    assert (await polling.poll()).status == 400


async def test_a_second_poll_closes_the_session(polling: Polling) -> None:
    one, two = await asyncio.gather(polling.poll(), polling.poll())
    closed, refused = sorted((one, two), key=lambda answer: answer.status)
    assert (closed.status, closed.text) == (200, "1")
    assert refused.status == 400
    assert (await polling.poll()).status == 400


async def test_a_poll_that_is_cancelled_closes_the_session(
    patient_port: int, polling: Polling
) -> None:
    async with waiting_poll(patient_port, polling):
        pass
    assert (await polling.poll()).status == 400


async def test_a_second_post_beside_the_first_closes_the_session(
    patient_port: int, polling: Polling
) -> None:
    target = f"/engine.io/?EIO=4&transport=polling&sid={polling.sid}"
    slow = request(target, [("Content-Length", "6")], method="POST")
    async with wired(patient_port) as wire:
        await wire.write(slow, b"4ab")
        async with wired(patient_port) as other:
            await other.write(slow, b"4ab")
            # Whichever is served first waits for its body; the other one is the second.
            async with asyncio.timeout(PATIENCE_SECONDS):
                done, waiting = await asyncio.wait(
                    [asyncio.create_task(one.response()) for one in (wire, other)],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                assert [task.result().status for task in done] == [400]
                await wire.write(b"abc")
                await other.write(b"abc")
                assert {task.result().status for task in (await asyncio.wait(waiting))[0]} == {400}
    assert (await polling.poll()).text == "1"
    assert (await polling.poll()).status == 400


async def test_a_payload_may_have_as_many_bytes_as_was_announced(polling: Polling) -> None:
    largest = "4" + "x" * (polling.opening["maxPayload"] - 1)
    await polling.send(largest)
    assert await polling.packets() == [largest]


async def test_a_larger_payload_is_refused_and_closes_the_session(polling: Polling) -> None:
    answer = await polling.post("4" + "x" * polling.opening["maxPayload"])
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert (await polling.poll()).text == "1"
    assert (await polling.poll()).status == 400


@pytest.mark.parametrize("message", ["4hello", "4", "4привет 👋", b"\x01\x02\x03\x04", b""])
async def test_a_websocket_message_comes_back(ws: Wire, message: str | bytes) -> None:
    await ws.send(message)
    assert await ws.message() == message


@pytest.mark.parametrize("packet", ["abc", "", "7", "2", "0{}", "5x", "6x"])
async def test_what_is_no_packet_closes_a_websocket(ws: Wire, packet: str) -> None:
    await ws.send(packet)
    assert await ws.messages_to_the_end() == ([], 1000)


# Heartbeat


async def test_a_polling_client_that_answers_its_pings_stays(beating_port: int) -> None:
    async with http(beating_port) as client:
        polling = await client.open()
        for _ in range(3):
            assert await polling.packets() == ["2"]
            await polling.send("3")


async def test_a_websocket_client_that_answers_its_pings_stays(beating_port: int) -> None:
    async with websocket(beating_port) as wire:
        await wire.message()
        for _ in range(3):
            assert await wire.message() == "2"
            await wire.send("3")


async def test_a_websocket_client_that_answers_no_ping_is_closed_but_not_soon(
    hasty_port: int,
) -> None:
    began = time.monotonic()
    async with websocket(hasty_port) as wire:
        await wire.message()
        assert await wire.messages_to_the_end() == (["2"], 1000)
    assert time.monotonic() - began >= PING_TIMEOUT_SECONDS


async def test_a_polling_client_that_answers_no_ping_is_closed(hasty: Http) -> None:
    polling = await hasty.open()
    assert await polling.packets() == ["2"]
    answer = await polling.poll()  # it waits, but says nothing
    assert (answer.status, answer.code) == (400, "unknown_session")


async def test_a_client_that_never_polls_is_closed_when_interval_and_timeout_are_over(
    hasty: Http, hasty_port: int
) -> None:
    polling = await hasty.open()
    # Asking would keep it, or be the poll that was missing. Who answers one ping is gone after it.
    async with websocket(hasty_port) as younger:
        await younger.message()
        assert await younger.message() == "2"
        await younger.send("3")
        await younger.closed()
    assert (await polling.poll()).status == 400
    assert (await polling.post("3")).status == 400


async def test_a_pong_that_was_not_asked_for_does_no_harm(ws: Wire) -> None:
    await ws.send("3")
    await ws.send("3probe")
    await ws.send("4hello")
    assert await ws.message() == "4hello"


# Closing


async def test_a_client_that_closes_ends_its_poll_and_its_session(
    patient_port: int, polling: Polling
) -> None:
    async with waiting_poll(patient_port, polling) as poll:
        await polling.send("1")
        assert_answered(await poll.response(), "6")
    assert (await polling.poll()).status == 400


async def test_what_comes_behind_a_close_packet_is_not_taken(polling: Polling) -> None:
    await polling.send("4before\x1e1\x1e4behind")
    assert (await polling.poll()).status == 400


async def test_a_websocket_client_that_closes_is_hung_up_on(ws: Wire) -> None:
    await ws.send("1")
    assert await ws.messages_to_the_end() == ([], 1000)


# Upgrade


@pytest_asyncio.fixture
async def probe(patient_port: int, polling: Polling) -> AsyncIterator[Wire]:
    """A WebSocket that asks to take the session over; nothing is said yet."""
    async with websocket(patient_port, f"{ENGINE_IO}&sid={polling.sid}") as wire:
        yield wire


async def upgrade(probe: Wire) -> None:
    await probe.send("2probe")
    assert await probe.message() == "3probe"
    await probe.send("5")


async def test_a_session_moves_to_a_websocket(polling: Polling, probe: Wire) -> None:
    await probe.send("2probe")
    assert await probe.message() == "3probe"
    assert await polling.packets() == ["6"]
    await probe.send("5")
    await probe.send("4hello")
    assert await probe.message() == "4hello"


async def test_a_poll_that_waits_is_ended_by_the_probe(
    patient_port: int, polling: Polling, probe: Wire
) -> None:
    async with waiting_poll(patient_port, polling) as poll:
        await probe.send("2probe")
        assert_answered(await poll.response(), "6")


async def test_a_poll_waits_while_a_websocket_is_only_open(
    patient_port: int, polling: Polling, probe: Wire
) -> None:
    async with waiting_poll(patient_port, polling) as poll:
        await polling.send("4hello")
        # and not a noop, after which the client would ask again at once
        assert_answered(await poll.response(), "4hello")
    await upgrade(probe)


async def test_polls_end_at_once_between_the_probe_and_the_upgrade(
    polling: Polling, probe: Wire
) -> None:
    await probe.send("2probe")
    assert await probe.message() == "3probe"
    assert [await polling.packets() for _ in range(3)] == [["6"]] * 3
    await probe.send("5")
    await probe.send("4hello")
    assert await probe.message() == "4hello"


async def test_a_poll_that_waits_is_ended_by_an_upgrade_without_probe(
    patient_port: int, polling: Polling, probe: Wire
) -> None:
    async with waiting_poll(patient_port, polling) as poll:
        await probe.send("5")
        assert_answered(await poll.response(), "6")
    await probe.send("4hello")
    assert await probe.message() == "4hello"


async def test_http_with_the_same_sid_is_refused_after_the_upgrade(
    polling: Polling, probe: Wire
) -> None:
    await upgrade(probe)
    await probe.send("4hello")
    assert await probe.message() == "4hello"
    assert (await polling.poll()).status == 400
    assert (await polling.post("4by post")).status == 400
    await probe.send("4still here")
    assert await probe.message() == "4still here"


@pytest.mark.parametrize("said", [["2probe"], ["2probe", "5"], []])
async def test_a_second_websocket_with_the_same_sid_is_accepted_and_closed(
    patient_port: int, polling: Polling, probe: Wire, said: list[str]
) -> None:
    """As the reference server does: a refused handshake is an exception to users of `ws`."""
    for packet in said:
        await probe.send(packet)
    if said:
        assert await probe.message() == "3probe"
    async with websocket(patient_port, f"{ENGINE_IO}&sid={polling.sid}") as other:
        await other.send("2probe")
        assert await other.messages_to_the_end() == ([], NO_STATUS)
    for packet in ["2probe", "5"][len(said) :]:
        await probe.send(packet)
    await probe.send("4still here")
    heard = [await probe.message()] if said else [await probe.message(), await probe.message()]
    assert heard[-1] == "4still here"


@pytest.mark.parametrize("packet", ["4hello", "abc", "3probe", "2", "", b"\x00"])
async def test_a_websocket_that_does_not_probe_is_closed_and_the_session_goes_on(
    polling: Polling, probe: Wire, packet: str | bytes
) -> None:
    await probe.send(packet)
    assert await probe.messages_to_the_end() == ([], 1002)
    await polling.send("4hello")
    assert await polling.packets() == ["4hello"]


async def test_a_probe_that_is_given_up_may_be_tried_again(
    patient_port: int, polling: Polling
) -> None:
    target = f"{ENGINE_IO}&sid={polling.sid}"
    for _ in range(3):
        async with websocket(patient_port, target) as wire:
            await wire.send("2probe")
            assert await wire.message() == "3probe"
            await wire.send(b"")
            await wire.closed()
    async with websocket(patient_port, target) as wire:
        await upgrade(wire)
        await wire.send("4hello")
        assert await wire.message() == "4hello"


async def test_a_session_that_is_closed_while_it_moves_takes_its_probe_along(
    polling: Polling, probe: Wire
) -> None:
    await probe.send("2probe")
    assert await probe.message() == "3probe"
    await polling.send("1")
    await probe.send("5")
    assert await probe.messages_to_the_end() == ([], 1006)
