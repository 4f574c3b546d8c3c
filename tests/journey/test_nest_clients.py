"""Real NestJS applications, majors 10 to 12, get right answers from either pod of the cluster."""

from typing import Any

import pytest

from tests.journey.conftest import Pods
from tests.journey.test_nest_port import MAJORS, NestClient, nest_client
from tests.js_clients import POLLING, JsClients
from tests.nest_client import NO_HANDLER
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("pod", ["a", "b"])
@pytest.mark.parametrize("major", MAJORS)
async def test_a_nest_client_reaches_users_on_both_pods_through_either(
    major: int, pod: str, pods: Pods, js: JsClients, mine: str
) -> None:
    user, room = f"bob{mine}", f"chat:c{mine}"
    sockets = [
        await js.connect(pods.a.chats_url, user=user),
        await js.connect(pods.b.chats_url, user=user, transports=POLLING),
    ]
    port = {"a": pods.a, "b": pods.b}[pod].tcp_port
    async with nest_client(major, port) as nest:
        await eventually(lambda: _is_online(nest, user), PATIENCE_SECONDS, "the user is online")
        assert await _ask(nest, "isUserOnline", {"userId": f"no{user}"}) == {
            "userId": f"no{user}",
            "online": False,
        }
        assert user in (await _ask(nest, "getOnlineUsers", {"limit": 1000}))["users"]

        accepted, text = {"accepted": True}, {"text": "Привет 👋"}
        to_user = {"userId": user, "event": "to-user", "data": text}
        assert await _ask(nest, {"cmd": "sendToUser"}, to_user) == accepted
        membership = {"userId": user, "roomName": room}
        joined = membership | {"status": "success"}
        assert await _ask(nest, "joinRoom", membership) == joined
        to_room = {"room": room, "event": "to-room", "data": text}
        assert await _ask(nest, "sendToRoom", to_room) == accepted
        assert await _ask(nest, "leaveRoom", membership) == joined
        assert await _ask(nest, "sendToRoom", to_room) == accepted
        # An event, as an API would send it: nothing is answered, all of it is delivered.
        message = {"chatId": f"c{mine}", "recipientId": user, **text}
        assert await nest.emit("chat:newMessage", message) == {}
        for socket in sockets:
            for event in ("to-user", "to-room"):
                assert (await socket.event(event)).payload == text
            assert (await socket.event("new-message")).payload == {"chatId": f"c{mine}", **text}

        assert await _ask(nest, "disconnectUser", {"userId": user}) == {"disconnected": 2}
        for socket in sockets:
            assert await socket.lost() == "io server disconnect"
        assert (await nest.send("noSuchPattern", {}))["error"]["message"] == NO_HANDLER
        assert (await _ask(nest, "ping", {}))["pong"] is True


async def _ask(nest: NestClient, pattern: object, data: object) -> dict[str, Any]:
    """What a NestJS application gets: the whole response, of which the data is returned."""
    response = (await nest.send(pattern, data))["value"]
    assert response.keys() == {"success", "data"}
    assert response["success"] is True
    answer: dict[str, Any] = response["data"]
    return answer


async def _is_online(nest: NestClient, user: str) -> bool:
    return (await _ask(nest, "isUserOnline", {"userId": user})) == {"userId": user, "online": True}
