"""What clients ask for: joining, leaving, and the refusals that change nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.journey.attackers import ask, member
from tests.journey.conftest import BOTH_MODES, WITH_TOKENS, Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, WEBSOCKET, JsClient, JsClients, binary
from tests.processes import Gateway, Valkey

pytestmark = [pytest.mark.asyncio(loop_scope="session"), BOTH_MODES]

MALFORMED = [
    pytest.param([], id="nothing"),
    pytest.param([None], id="null"),
    pytest.param([{}], id="no chatId"),
    pytest.param([{"chatId": None}], id="a null chatId"),
    pytest.param([{"chatId": ""}], id="an empty chatId"),
    pytest.param([{"chatId": {"id": "c"}}], id="an object for a chatId"),
    pytest.param([{"chatId": ["c"]}], id="a list for a chatId"),
    pytest.param([{"chatId": True}], id="a truth value"),
    pytest.param([{"chatId": 1.5}], id="no whole number"),
    pytest.param([["c"]], id="a bare list"),
    pytest.param([""], id="a bare empty string"),
    pytest.param([False], id="a bare truth value"),
    pytest.param(["c" * 129], id="longer than the limit"),
]
FORMS = ["{chatId}", "bare"]


def typing_in(chat: object) -> dict[str, Any]:
    return {"chatId": chat, "userId": "somebody", "isTyping": True, "participants": []}


async def hears_of(chat: object, client: JsClient, publish: Publisher) -> bool:
    """Whether the client is in the chat's room: it gets each event of it, once, or none."""
    await publish("chat:typing", typing_in(chat))
    (heard,) = await publish.heard_by(client)
    assert len(heard) <= 1
    return bool(heard)


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [str, int])
async def test_every_form_of_join_and_leave_does_what_it_says(
    form: str,
    kind: type[str] | type[int],
    transports: tuple[str, ...],
    pods: Pods,
    js: JsClients,
    publish: Publisher,
    mine: str,
) -> None:
    chat = f"c{mine}" if kind is str else 7_000_000 + int(mine.rpartition("-")[2])
    request = chat if form == "bare" else {"chatId": chat}
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=transports)

    for verb, hears in (("join-chat", True), ("join-chat", True), ("leave-chat", False)):
        ack = await bob.ask(verb, request)
        assert ack["success"] is True
        assert ack.keys() == {"success", "data"}
        assert ack["data"].keys() == {"chatId"}
        assert str(ack["data"]["chatId"]) == str(chat)
        assert await hears_of(chat, bob, publish) is hears


async def test_a_request_without_an_acknowledgement_works_as_well(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")

    bob.emit("join-chat", {"chatId": f"c{mine}"})
    await bob.join(f"other{mine}")  # requests of one socket are handled in their order

    assert await hears_of(f"c{mine}", bob, publish)


async def test_a_chat_whose_id_no_javascript_number_can_hold_is_joined_exactly(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")

    bob.write('2/chats,["join-chat",{"chatId":9007199254740993}]')
    await bob.join(f"other{mine}")

    assert await hears_of(9007199254740993, bob, publish)
    assert not await hears_of(9007199254740992, bob, publish)


@pytest.mark.parametrize("verb", ["join-chat", "leave-chat"])
@pytest.mark.parametrize("arguments", MALFORMED)
async def test_a_malformed_request_is_refused_and_changes_nothing(
    verb: str,
    arguments: list[object],
    pods: Pods,
    js: JsClients,
    publish: Publisher,
    mine: str,
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")
    await bob.join(f"c{mine}")

    ack = await bob.ask(verb, *arguments)

    assert_refused(ack, "invalid_chat")
    for chat in ("", "c", "null", "None", "undefined", "true", "True", "1.5"):
        assert not await hears_of(chat, bob, publish), chat
    assert await hears_of(f"c{mine}", bob, publish)


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"])
async def test_a_number_that_is_no_id_is_refused_and_never_closes_the_connection(
    transports: tuple[str, ...], pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    client = await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=transports)

    async def refused() -> float:
        return await pods.a.metric(
            "constellation_client_requests_total", event="join-chat", outcome="invalid_chat"
        )

    before = await refused()
    numbers = ["9" * 5_000, "1e400", "-" + "1" * 5_000]
    for number in numbers:
        # No JavaScript client writes them; others do.
        client.write(f'2/chats,7["join-chat",{{"chatId":{number}}}]')
        client.write(f'2/chats,8["join-chat",{number}]')
    await client.join("1")
    assert await refused() == before + 2 * len(numbers)
    assert client.connects == 1
    # And a publisher names the same chat, however it writes the number.
    await publish("chat:typing", '{"chatId": 1.0, "userId": "x", "participants": []}')
    (heard,) = await publish.heard_by(client)
    assert [event.text for event in heard] == [
        '2/chats,["user-typing",{"userId":"x","chatId":1.0}]'
    ]


@pytest.mark.parametrize("event", ["no-such-event", "message", "new-message", "joinChat"])
async def test_an_unknown_event_is_acknowledged_as_unknown(
    event: str, pods: Pods, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}")

    assert_refused(await bob.ask(event, {"chatId": "c"}), "unknown_event")
    assert_refused(await bob.ask(event), "unknown_event")

    bob.emit(event, 1, 2, 3)
    await bob.join(f"c{mine}")  # still there, still served


BOTH_TRANSPORTS = pytest.mark.parametrize(
    "transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"]
)
ODD_NAMES = [42, 0, -1.5, 1e21, "", "*", "__disconnect_final"]
ODD_ARGUMENTS: dict[str, tuple[list[Any], str]] = {
    "bytes": ([binary(10)], "invalid_chat"),
    "bytes for a chatId": ([{"chatId": binary(10)}], "invalid_chat"),
    "no bytes": ([binary(0)], "invalid_chat"),
    "bytes behind the request": ([{"chatId": None}, binary(10), binary(10)], "invalid_chat"),
    "a dozen of buffers": ([[binary(1)] * 12], "invalid_chat"),
    "50,000 bytes": ([binary(50_000)], "payload_too_large"),
    "500,000 bytes in two buffers": ([binary(250_000)] * 2, "payload_too_large"),
    "too much text": (["x" * 20_000], "payload_too_large"),
    "too much text beside bytes": (["x" * 20_000, binary(10)], "payload_too_large"),
}


@BOTH_TRANSPORTS
@pytest.mark.parametrize("event", ODD_NAMES)
async def test_an_event_with_an_odd_name_is_acknowledged_as_unknown(
    event: str | float, transports: tuple[str, ...], pods: Pods, js: JsClients, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=transports)
    for arguments in ([], [{"chatId": "c"}], [binary(10)]):
        assert_refused(await bob.ask(event, *arguments), "unknown_event")
    bob.emit(event, binary(50_000))
    await bob.join(f"c{mine}")
    assert (bob.connects, bob.disconnects) == (1, [])


@BOTH_TRANSPORTS
@pytest.mark.parametrize("name", ODD_ARGUMENTS)
async def test_whatever_the_arguments_are_they_are_acknowledged(
    name: str, transports: tuple[str, ...], pods: Pods, js: JsClients, mine: str
) -> None:
    arguments, code = ODD_ARGUMENTS[name]
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}", transports=transports)
    assert_refused(await bob.ask("join-chat", *arguments), code)
    bob.emit("join-chat", *arguments)  # without an acknowledgement it is counted
    await bob.join(f"c{mine}")
    assert (bob.connects, bob.disconnects) == (1, [])


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("[]", "unknown_event"),
        ("[null,1]", "unknown_event"),
        ('["newListener"]', "unknown_event"),
        ('[["join-chat"]]', "unknown_event"),
        ('["disconnect","x"]', "unknown_event"),
        ('["connect",{}]', "unknown_event"),
        ('["join-chat",{"chatId":%s}]' % ("9" * 5_000), "invalid_chat"),
        ('["join-chat",{"chatId":1e400}]', "invalid_chat"),
        ('["join-chat",%s]' % ("[" * 5_000 + "]" * 5_000), "unknown_event"),
        ('["join-chat",{"_placeholder":true,"num":0}]', "invalid_chat"),
    ],
)
async def test_what_no_client_library_sends_is_answered_as_well(
    event: str, code: str, pods: Pods, mine: str, auth_mode: str
) -> None:
    if auth_mode == "jwt":
        pytest.skip("what is asked does not depend on who asks")
    async with member(pods.a, f"bob{mine}") as wire:
        answer = await ask(wire, f"42/chats,7{event}")
        assert_refused(json.loads(answer.removeprefix("43/chats,7"))[0], code)
        assert (await ask(wire, '42/chats,8["join-chat","c"]')).startswith("43/chats,8[{")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def narrow(valkey: Valkey, gateway: StartGateway, auth_mode: str) -> AsyncIterator[Gateway]:
    """A pod with limits that a test can reach."""
    settings = (WITH_TOKENS if auth_mode == "jwt" else {}) | {
        "CONSTELLATION_MAX_ROOMS_PER_SOCKET": 3,
        "CONSTELLATION_MAX_ID_CHARS": 40,
        "CONSTELLATION_MAX_REQUEST_BYTES": 1000,
        "CONSTELLATION_MAX_REQUESTS_PER_SECOND": 1,
        "CONSTELLATION_MAX_REQUEST_BURST": 8,
    }
    async with gateway(valkey.url, **settings) as pod:
        yield pod


async def test_one_room_too_many_is_refused_and_the_others_stay(
    narrow: Gateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(narrow.chats_url, user=f"bob{mine}")
    for n in range(3):
        await bob.join(f"c{n}{mine}")

    assert_refused(await bob.ask("join-chat", {"chatId": f"c3{mine}"}), "too_many_rooms")
    await bob.join(f"c2{mine}")  # joined already: no further room

    assert not await hears_of(f"c3{mine}", bob, publish)
    assert await hears_of(f"c0{mine}", bob, publish)
    assert (await bob.ask("leave-chat", {"chatId": f"c0{mine}"}))["success"] is True
    await bob.join(f"c3{mine}")
    assert await hears_of(f"c3{mine}", bob, publish)


async def test_an_id_may_be_as_long_as_the_limit_and_no_longer(
    narrow: Gateway, js: JsClients
) -> None:
    bob = await js.connect(narrow.chats_url, user="я" * 40)
    too_long = js.open(narrow.chats_url, user="я" * 41)

    await bob.join("ж" * 40)
    assert_refused(await bob.ask("join-chat", {"chatId": "ж" * 41}), "invalid_chat")
    assert (await too_long.refused()).code == "invalid_user"


async def test_a_request_over_the_size_limit_is_refused_and_the_connection_stays(
    narrow: Gateway, js: JsClients, mine: str
) -> None:
    bob = await js.connect(narrow.chats_url, user=f"bob{mine}")
    polling = await js.connect(narrow.chats_url, user=f"bob{mine}", transports=POLLING)

    for client in (bob, polling):
        for padding in ("x" * 1000, "ю" * 500):
            ack = await client.ask("join-chat", {"chatId": f"c{mine}", "padding": padding})
            assert_refused(ack, "payload_too_large")
        await client.join(f"c{mine}")


async def test_a_client_past_its_rate_is_refused_and_closed_only_if_it_goes_on(
    narrow: Gateway, js: JsClients, mine: str
) -> None:
    bob = await js.connect(narrow.chats_url, user=f"bob{mine}", reconnection=False)

    acks = await asyncio.gather(*(bob.ask("join-chat", f"c{mine}") for _ in range(14)))

    refused = [ack for ack in acks if not ack["success"]]
    assert 4 <= len(refused) <= 6, "a burst of 8, and one more for each second that passed"
    for ack in refused:
        assert_refused(ack, "rate_limited")
    assert bob.connected

    for _ in range(40):
        bob.emit("join-chat", f"c{mine}")
    await bob.lost()


def assert_refused(ack: Any, code: str) -> None:
    """A refusal has this form, whatever was refused."""
    assert ack.keys() == {"success", "error"}, ack
    assert ack["success"] is False
    assert ack["error"].keys() == {"code", "message"}
    assert ack["error"]["code"] == code
    assert " " in ack["error"]["message"], "a sentence is expected"
