"""Operators make a pod talk and be quiet again without a restart and without a port for it."""

import signal

import pytest

from tests.journey.conftest import StartGateway
from tests.js_clients import JsClients
from tests.processes import Valkey
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE = 30.0
CHATTY = "not recovered"


async def test_signals_turn_debug_lines_on_and_off(
    gateway: StartGateway, valkey: Valkey, js: JsClients, mine: str
) -> None:
    async with gateway(valkey.url) as pod:

        async def come_back_in_vain() -> None:
            auth = {"userId": f"bob{mine}", "pid": "unknown"}
            await js.connect(pod.chats_url, user=f"bob{mine}", auth=auth)

        async def signalled(number: signal.Signals, times: int) -> None:
            pod.signal(number)
            await eventually(lambda: len(pod.log("log level set")) == times, PATIENCE, "it is told")

        await come_back_in_vain()
        assert pod.log(CHATTY) == []
        await signalled(signal.SIGUSR1, 1)
        await come_back_in_vain()
        assert len(pod.log(CHATTY)) == 1
        await signalled(signal.SIGUSR2, 2)
        await come_back_in_vain()
        assert len(pod.log(CHATTY)) == 1
        assert [line["to"] for line in pod.log("log level set")] == ["debug", "info"]
