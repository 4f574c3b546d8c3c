"""Who may connect, what the others are told, and who a user is."""

import asyncio
import json
from typing import Any

import pytest

from tests.journey.conftest import Pods
from tests.journey.publishing import Publisher
from tests.js_clients import POLLING, UPGRADING, WEBSOCKET, JsClients
from tests.processes import REPOSITORY, node_executable
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = [
    pytest.param(None, "unauthorized", id="no auth at all"),
    pytest.param("u1", "unauthorized", id="a string"),
    pytest.param(["u1"], "unauthorized", id="a list"),
    pytest.param({}, "unauthorized", id="no userId"),
    pytest.param({"userId": None}, "unauthorized", id="null"),
    pytest.param({"userId": ""}, "invalid_user", id="empty"),
    pytest.param({"userId": {"id": "u1"}}, "invalid_user", id="an object"),
    pytest.param({"userId": ["u1"]}, "invalid_user", id="a list"),
    pytest.param({"userId": True}, "invalid_user", id="a truth value"),
    pytest.param({"userId": 1.5}, "invalid_user", id="no whole number"),
    pytest.param({"userId": "u" * 129}, "invalid_user", id="longer than the limit"),
]


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"])
@pytest.mark.parametrize(("auth", "code"), NOBODY)
async def test_a_client_that_is_nobody_is_told_so_in_a_sentence_and_a_code(
    auth: object, code: str, transports: tuple[str, ...], pods: Pods, js: JsClients
) -> None:
    options: dict[str, Any] = {} if auth is None else {"auth": auth}
    client = js.open(pods.a.chats_url, transports=transports, **options)

    refusal = await client.refused()

    assert refusal.code == code
    assert " " in refusal.message, f"a sentence is expected, not {refusal.message!r}"
    assert not client.connected


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=["websocket", "polling"])
@pytest.mark.parametrize("namespace", ["", "random", "chats/", "Chats", "user:x"])
async def test_an_unknown_namespace_is_refused_with_a_message_and_a_code(
    namespace: str, transports: tuple[str, ...], pods: Pods, js: JsClients, mine: str
) -> None:
    url = f"{pods.a.http_url}/{namespace}"
    client = js.open(url, user=f"bob{mine}", transports=transports)

    refusal = await client.refused()

    assert refusal.code == "invalid_namespace"
    assert " " in refusal.message, f"a sentence is expected, not {refusal.message!r}"
    assert not client.connected


async def test_a_refused_client_leaves_nothing_behind(pods: Pods, js: JsClients, mine: str) -> None:
    refused = js.open(pods.a.chats_url, auth={"userId": ""})
    await refused.refused()

    again = await js.connect(pods.a.chats_url, user=f"bob{mine}")

    assert again.connects == 1


async def test_a_numeric_user_is_its_decimal_string(
    pods: Pods, js: JsClients, publish: Publisher
) -> None:
    number = 9_007_199_254_740_991
    as_number = await js.connect(pods.a.chats_url, user=number)
    as_text = await js.connect(pods.a.chats_url, user=str(number), transports=POLLING)
    event = {"chatId": "c", "withUser": None, "created_at": 1, "timestamp": 2}

    await publish("chat:new", event | {"userId": number})
    await publish("chat:new", event | {"userId": str(number)})

    for heard in await publish.heard_by(as_number, as_text):
        assert [one.payload for one in heard] == [event, event]


async def test_users_with_strange_but_legal_names_get_their_events(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    for user in (f"Боб 👋{mine}", f"user:{mine}", f"a/b,c[0]{mine}", "ю" * 100 + mine):
        client = await js.connect(pods.a.chats_url, user=user)
        event = {"chatId": "c", "withUser": {}, "created_at": 1, "timestamp": 2}
        await publish("chat:new", event | {"userId": user})
        (heard,) = await publish.heard_by(client)
        assert [one.payload for one in heard] == [event], user


async def test_a_client_whose_transport_breaks_comes_back_and_is_served(
    pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    bob = await js.connect(pods.a.chats_url, user=f"bob{mine}", reconnectionDelay=10)

    bob.sever()

    await bob.until(lambda: bob.connects == 2, "a second connection")
    await publish("chat:new", {"userId": f"bob{mine}", "chatId": "c"})
    (heard,) = await publish.heard_by(bob)
    assert [event.payload for event in heard] == [{"chatId": "c"}]


@pytest.mark.parametrize("transports", [WEBSOCKET, UPGRADING], ids=["websocket", "upgrading"])
async def test_a_client_that_offers_subprotocols_connects(
    transports: tuple[str, ...], pods: Pods, js: JsClients, publish: Publisher, mine: str
) -> None:
    client = await js.connect(
        pods.a.chats_url, user=f"bob{mine}", transports=transports, protocols=["token-abc", "chat"]
    )
    event = {"chatId": "c", "withUser": None, "created_at": 1, "timestamp": 2}
    await publish("chat:new", event | {"userId": client.user})
    (heard,) = await publish.heard_by(client)
    assert [one.payload for one in heard] == [event]


async def test_the_ws_package_sees_a_second_websocket_of_a_session_open_and_close(
    pods: Pods,
) -> None:
    """A handshake that is refused is raised there as an error, which nobody catches."""
    script = REPOSITORY / "tests" / "js" / "second_websocket.mjs"
    node = await asyncio.create_subprocess_exec(
        *(node_executable(), str(script), str(pods.a.ws_port)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        output, _ = await node.communicate()
    assert json.loads(output) == {"said": ["open"], "code": 1005, "firstIsOpen": True}
