"""SIGKILL: the pods that are left stay right, and the dead one's users fade."""

import pytest

from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.js_clients import JsClients
from tests.nest_client import NestClient, nest_client
from tests.processes import Valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_killed_pods_users_fade_and_everything_else_goes_on(
    pods: Pods, valkey: Valkey, gateway: StartGateway, js: JsClients, publish: Publisher, mine: str
) -> None:
    lonely, both = f"lonely{mine}", f"both{mine}"
    async with gateway(valkey.url) as doomed, nest_client(pods.a.tcp_port) as nest:
        left = await js.connect(doomed.chats_url, user=lonely, reconnection=False)
        await js.connect(doomed.chats_url, user=both, reconnection=False)
        survivor = await js.connect(pods.b.chats_url, user=both)
        await eventually(
            lambda: _online(nest, lonely, both), PATIENCE_SECONDS, "both users are online"
        )

        await doomed.kill()
        assert await left.lost() in ("transport close", "transport error")

        # What the cluster does now does not wait for the dead pod.
        await publish("chat:new", {"userId": both, "chatId": "c"})
        (heard,) = await publish.heard_by(survivor)
        assert [event.payload for event in heard] == [{"chatId": "c"}]
        sent = {"userId": both, "event": "notice", "data": 1}
        assert await nest.ask("sendToUser", sent) == {"accepted": True}
        assert (await survivor.event("notice")).payload == 1
        assert await nest.ask("disconnectUser", {"userId": lonely}) == {"disconnected": 0}

        # How soon that is, tests/unit/test_presence.py says.
        await eventually(
            lambda: _offline(nest, lonely), 2 * PATIENCE_SECONDS, "the dead pod's user is offline"
        )
        assert await _online(nest, both)
        listed = (await nest.ask("getOnlineUsers", {"limit": 1000}))["users"]
        assert lonely not in listed
        assert both in listed


async def _online(nest: NestClient, *users: str) -> bool:
    answers = [await nest.ask("isUserOnline", {"userId": user}) for user in users]
    return all(answer["online"] for answer in answers)


async def _offline(nest: NestClient, user: str) -> bool:
    return not await _online(nest, user)
