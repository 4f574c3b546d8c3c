"""Two gateways on one Redis behave as one, whichever of them is asked over TCP."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.journey.conftest import Pods
from tests.journey.publishing import Publisher, heard_by, mark_over_tcp
from tests.js_clients import POLLING, JsClient, JsClients
from tests.nest_client import NO_HANDLER, NestClient, nest_client
from tests.waiting import PATIENCE_SECONDS, eventually, throughout

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(params=["a", "b"], loop_scope="session")
async def nest(request: pytest.FixtureRequest, pods: Pods) -> AsyncIterator[NestClient]:
    """A connection to either pod: every test that takes it runs with both."""
    pod = {"a": pods.a, "b": pods.b}[request.param]
    async with nest_client(pod.tcp_port) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def bob(pods: Pods, js: JsClients, mine: str) -> tuple[JsClient, JsClient]:
    """One user's sockets: a WebSocket on one pod, a polling one on the other."""
    return (
        await js.connect(pods.a.chats_url, user=f"bob{mine}"),
        await js.connect(pods.b.chats_url, user=f"bob{mine}", transports=POLLING),
    )


async def test_ping_answers_with_version_and_pod(nest: NestClient) -> None:
    answer = await nest.ask("ping", {"any": "thing"})

    assert answer.keys() == {"pong", "version", "pod"}
    assert answer["pong"] is True
    assert answer["version"]
    assert answer["pod"]


@pytest.mark.parametrize("cmd_object", [False, True])
async def test_send_to_user_reaches_all_sockets_of_the_user_and_nobody_else(
    cmd_object: bool,
    nest: NestClient,
    bob: tuple[JsClient, JsClient],
    pods: Pods,
    js: JsClients,
    mine: str,
) -> None:
    carol = await js.connect(pods.a.chats_url, user=f"carol{mine}")
    pattern = {"cmd": "sendToUser"} if cmd_object else "sendToUser"
    data = {"text": "Привет 👋", "n": [1, None, {"a": 1.5}]}

    sent = {"userId": f"bob{mine}", "event": "like", "data": data}
    assert await nest.ask(pattern, sent) == {"accepted": True}

    heard = await heard_by(mark_over_tcp(nest), *bob, carol)
    assert [[(e.event, e.arguments) for e in each] for each in heard] == [
        [("like", (data,))],
        [("like", (data,))],
        [],
    ]


async def test_send_to_room_reaches_everyone_in_it_on_every_pod(
    nest: NestClient, bob: tuple[JsClient, JsClient], pods: Pods, js: JsClients, mine: str
) -> None:
    outside = await js.connect(pods.b.chats_url, user=f"bob{mine}")
    for client in bob:
        await client.join(f"c{mine}")

    sent = {"room": f"chat:c{mine}", "event": "notice", "data": "text"}
    assert await nest.ask("sendToRoom", sent) == {"accepted": True}

    heard = await heard_by(mark_over_tcp(nest), *bob, outside)
    assert [[(e.event, e.arguments) for e in each] for each in heard] == [
        [("notice", ("text",))],
        [("notice", ("text",))],
        [],
    ]


async def test_join_room_and_leave_room_concern_all_sockets_of_the_user(
    nest: NestClient, bob: tuple[JsClient, JsClient], mine: str
) -> None:
    membership = {"userId": f"bob{mine}", "roomName": f"chat:c{mine}"}
    notice = {"room": f"chat:c{mine}", "event": "notice", "data": 1}

    assert await nest.ask("joinRoom", membership) == membership | {"status": "success"}
    await nest.ask("sendToRoom", notice)
    heard = await heard_by(mark_over_tcp(nest), *bob)
    assert [[e.event for e in each] for each in heard] == [["notice"], ["notice"]]

    assert await nest.ask("leaveRoom", membership) == membership | {"status": "success"}
    await nest.ask("sendToRoom", notice)
    assert await heard_by(mark_over_tcp(nest), *bob) == [[], []]


async def test_disconnect_user_counts_and_closes_all_sockets_of_the_user(
    nest: NestClient, bob: tuple[JsClient, JsClient], pods: Pods, js: JsClients, mine: str
) -> None:
    carol = await js.connect(pods.a.chats_url, user=f"carol{mine}")

    asked = {"userId": f"bob{mine}", "reason": "banned"}
    assert await nest.ask("disconnectUser", asked) == {"disconnected": 2}

    for client in bob:
        assert await client.lost() == "io server disconnect"
    assert await nest.ask("disconnectUser", asked) == {"disconnected": 0}
    assert carol.connected


async def test_presence_is_the_same_from_every_pod(
    nest: NestClient, bob: tuple[JsClient, JsClient], mine: str
) -> None:
    async def is_online(user: str) -> bool:
        answer = await nest.ask("isUserOnline", {"userId": user})
        assert answer["userId"] == user
        online: bool = answer["online"]
        return online

    await eventually(lambda: is_online(f"bob{mine}"), PATIENCE_SECONDS, "bob is online")
    assert not await is_online(f"nobody{mine}")
    assert f"bob{mine}" in await _all_online(nest)

    for client in bob:
        client.close()

    async def is_offline() -> bool:
        return not await is_online(f"bob{mine}")

    await eventually(is_offline, PATIENCE_SECONDS, "bob is offline")
    assert f"bob{mine}" not in await _all_online(nest)


async def test_the_online_users_of_the_cluster_come_in_pages_each_of_them_once(
    nest: NestClient, pods: Pods, js: JsClients, mine: str
) -> None:
    everybody = [f"u{n}{mine}" for n in range(7)]
    for n, user in enumerate(everybody):
        await js.connect(pods.a.chats_url if n % 2 else pods.b.chats_url, user=user)
    await js.connect(pods.a.chats_url, user=everybody[0])  # on both pods

    async def all_are_listed() -> bool:
        return set(everybody) <= set(await _all_online(nest))

    await eventually(all_are_listed, PATIENCE_SECONDS, "all users are listed")
    for limit in (1, 3, 1000):
        listed = await _all_online(nest, limit)
        assert len(listed) == len(set(listed))
        assert set(everybody) <= set(listed)


async def test_a_reload_is_no_flicker(pods: Pods, js: JsClients, mine: str) -> None:
    """The page is away for a second and comes back on the other pod; its grace would be five."""
    user = f"bob{mine}"
    page = await js.connect(pods.a.chats_url, user=user)
    async with nest_client(pods.a.tcp_port) as nest_a, nest_client(pods.b.tcp_port) as nest_b:

        async def is_online() -> bool:
            answers = [await n.ask("isUserOnline", {"userId": user}) for n in (nest_a, nest_b)]
            return all(answer["online"] for answer in answers)

        await eventually(is_online, PATIENCE_SECONDS, "the user is online")
        page.close()
        await throughout(is_online, 1, "the user of a reloading page is online")
        await js.connect(pods.b.chats_url, user=user)
        await throughout(is_online, 5, "the user of a reloaded page is online")


@pytest.mark.parametrize("as_event", [False, True], ids=["request", "event"])
async def test_contract_events_over_tcp_do_what_the_publish_does(
    as_event: bool,
    nest: NestClient,
    bob: tuple[JsClient, JsClient],
    publish: Publisher,
    mine: str,
) -> None:
    message = {
        "chatId": f"c{mine}",
        "messageId": "m",
        "senderId": "x",
        "recipientId": f"bob{mine}",
        "text": "Привет 👋",
        "timestamp": 1760000000123,
        "internal": "never forwarded",
    }
    if as_event:
        nest.event("chat:newMessage", message)
        await nest.ask("ping")  # what one connection sends is handled in order
    else:
        assert await nest.ask("chat:newMessage", message) == {"accepted": True}

    expected = {key: message[key] for key in message if key not in ("recipientId", "internal")}
    for heard in await heard_by(mark_over_tcp(nest), *bob):
        assert [(event.event, event.payload) for event in heard] == [("new-message", expected)]


@pytest.mark.parametrize("pattern", ["no such pattern", {"cmd": "noSuchCommand"}, {"role": "x"}])
async def test_an_unknown_pattern_answers_what_nestjs_answers(
    pattern: object, nest: NestClient
) -> None:
    packet = await nest.request(pattern, {})

    assert packet == {"status": "error", "err": NO_HANDLER}
    assert (await nest.ask("ping"))["pong"] is True


@pytest.mark.parametrize(
    ("pattern", "data"),
    [
        ("isUserOnline", {}),
        ("isUserOnline", None),
        ("isUserOnline", {"userId": ["u"]}),
        ("getOnlineUsers", {"limit": -1}),
        ("getOnlineUsers", {"limit": "many"}),
        ("sendToUser", {"userId": "u"}),
        ("sendToUser", {"event": "e", "data": 1}),
        ("sendToUser", {"userId": "u", "event": 7, "data": 1}),
        ("sendToRoom", {"event": "e", "data": 1}),
        ("joinRoom", {"userId": "u"}),
        ("leaveRoom", "text"),
        ("disconnectUser", {}),
        ("chat:newMessage", {"text": "to nobody"}),
        ("chat:newMessage", [1]),
        ("user:status", None),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_the_connection_stays(
    pattern: str, data: object, pods: Pods
) -> None:
    async with nest_client(pods.a.tcp_port) as nest:
        response = await nest.response(pattern, data)

        assert response["success"] is False
        assert response["error"]["code"]
        assert " " in response["error"]["message"]
        assert (await nest.ask("ping"))["pong"] is True


async def _all_online(nest: NestClient, limit: int | None = None) -> list[str]:
    """Every page of the cluster's online users."""
    users: list[str] = []
    request: dict[str, object] = {} if limit is None else {"limit": limit}
    while True:
        page = await nest.ask("getOnlineUsers", request)
        users += page["users"]
        assert limit is None or len(page["users"]) <= limit
        if not page.get("cursor"):
            return users
        request["cursor"] = page["cursor"]
