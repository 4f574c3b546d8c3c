"""`@socket.io/redis-emitter` under Node reaches clients of gateways like those of servers."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import heard_by
from tests.js_clients import POLLING, JsClient, JsClients
from tests.node_services import UNDEFINED, NodeService, in_bytes, in_date, node_service
from tests.processes import Gateway, Valkey, running_valkey
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

ELSEWHERE = "ignored emitters that publish to a namespace that is not served here"
QUICK: dict[str, Any] = {"reconnectionDelay": 100, "reconnectionDelayMax": 500}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def live_pods(gateway: StartGateway) -> AsyncIterator[tuple[Valkey, Pods]]:
    """Two pods without a log, on a Valkey of their own."""
    with running_valkey() as valkey:
        live = {"CONSTELLATION_DELIVERY": "live"}
        async with gateway(valkey.url, **live) as a, gateway(valkey.url, **live) as b:
            yield valkey, Pods(a, b)


@pytest.fixture(params=["durable", "live"])
def world(request: pytest.FixtureRequest) -> tuple[Valkey, Pods]:
    """Two pods and their Redis, in either mode."""
    if request.param == "durable":
        return request.getfixturevalue("valkey"), request.getfixturevalue("pods")
    found: tuple[Valkey, Pods] = request.getfixturevalue("live_pods")
    return found


@pytest.fixture
def both(world: tuple[Valkey, Pods]) -> Pods:
    return world[1]


@pytest_asyncio.fixture(loop_scope="session")
async def node_emitter(world: tuple[Valkey, Pods]) -> AsyncIterator[NodeService]:
    """What a Node service uses that has no sockets of its own."""
    async with node_service(world[0].url) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def bob(both: Pods, js: JsClients, mine: str) -> list[JsClient]:
    """One user's sockets on both pods, in one chat."""
    clients = [
        await js.connect(both.a.chats_url, user=f"bob{mine}"),
        await js.connect(both.a.chats_url, user=f"bob{mine}", transports=POLLING),
        await js.connect(both.b.chats_url, user=f"bob{mine}"),
    ]
    for client in clients:
        await client.join(f"c{mine}")
    return clients


async def test_emits_reach_rooms_once_on_each_pod_and_in_order(
    node_emitter: NodeService, both: Pods, js: JsClients, bob: list[JsClient], mine: str
) -> None:
    alice = await js.connect(both.b.chats_url, user=f"alice{mine}")
    await alice.join(f"c{mine}")
    user, chat = f"user:bob{mine}", f"chat:c{mine}"
    payload = {"text": "Привет 👋", "n": [1, None, 1.5]}

    await node_emitter.chats(["to", user], ["emit", "e", 1, payload])
    await node_emitter.chats(["to", chat], ["emit", "e", 2])
    await node_emitter.chats(["to", [user, chat]], ["emit", "e", 3])
    await node_emitter.chats(["to", chat], ["except", f"user:alice{mine}"], ["emit", "e", 4])
    await node_emitter.chats(["to", chat], ["except", user], ["emit", "e", 5])
    await node_emitter.chats(["compress", True], ["to", user], ["emit", "e", 6])
    await node_emitter.chats(["volatile"], ["to", user], ["emit", "e", 7])
    await node_emitter.chats(["to", f"user:nobody{mine}"], ["emit", "e", 8])

    *heard, by_alice = await heard_by(node_emitter.mark, *bob, alice)
    for events in heard:
        assert [event.arguments[0] for event in events] == [1, 2, 3, 4, 6, 7]
        assert events[0].arguments == (1, payload)
    assert [event.arguments[0] for event in by_alice] == [2, 3, 5]


async def test_an_emit_without_rooms_reaches_everyone(
    node_emitter: NodeService, bob: list[JsClient], mine: str
) -> None:
    await node_emitter.chats(["emit", "to all", mine])
    await node_emitter.chats(["except", f"user:bob{mine}"], ["emit", "to the others", mine])

    for events in await heard_by(node_emitter.mark, *bob):
        assert [(event.event, event.payload) for event in events] == [("to all", mine)]


async def test_values_that_json_has_not_arrive_as_from_a_node_server(
    node_emitter: NodeService, bob: list[JsClient], mine: str
) -> None:
    values = [in_bytes(3), in_date(1_700_000_000_123), UNDEFINED, {"deep": [in_bytes(1)]}]
    await node_emitter.chats(["to", f"user:bob{mine}"], ["emit", "e", *values])

    for (event,) in await heard_by(node_emitter.mark, *bob):
        assert event.arguments == (
            {"type": "Buffer", "data": [7, 7, 7]},
            "2023-11-14T22:13:20.123Z",
            None,
            {"deep": [{"type": "Buffer", "data": [7]}]},
        )


async def test_sockets_join_and_leave_on_every_pod_in_the_order_of_the_emits(
    node_emitter: NodeService, both: Pods, js: JsClients, bob: list[JsClient], mine: str
) -> None:
    user, team = f"user:bob{mine}", f"team{mine}"
    carol = await js.connect(both.b.chats_url, user=f"carol{mine}")

    async def emit(number: int) -> None:
        await node_emitter.chats(["to", team], ["emit", "e", number])

    await emit(1)
    await node_emitter.chats(["in", user], ["socketsJoin", team])
    await emit(2)
    await node_emitter.chats(["except", user], ["socketsJoin", [team, f"other{mine}"]])
    await emit(3)
    await node_emitter.chats(["in", team], ["except", f"other{mine}"], ["socketsLeave", team])
    await emit(4)
    await node_emitter.chats(["socketsLeave", team])
    await emit(5)

    *heard, by_carol = await heard_by(node_emitter.mark, *bob, carol)
    for events in heard:
        assert [event.payload for event in events] == [2, 3]
    assert [event.payload for event in by_carol] == [3, 4]


@pytest.mark.parametrize("close", [False, True])
async def test_sockets_are_disconnected_for_good_but_not_the_excepted(
    node_emitter: NodeService,
    both: Pods,
    js: JsClients,
    bob: list[JsClient],
    mine: str,
    close: bool,
) -> None:
    kept = bob.pop()
    await node_emitter.chats(["in", f"user:bob{mine}"], ["socketsJoin", f"kept{mine}"])
    for client in bob:
        ack = await client.ask("leave-chat", {"chatId": f"c{mine}"})
        assert ack["success"]
    chat = f"chat:c{mine}"
    await node_emitter.chats(["in", f"kept{mine}"], ["except", chat], ["disconnectSockets", close])

    for client in bob:
        assert await client.lost() == "io server disconnect"
    await node_emitter.chats(["to", f"user:bob{mine}"], ["emit", "still here"])
    assert (await kept.event("still here")).event == "still here"
    assert [client.connected for client in bob] == [False, False]


async def test_a_reserved_name_and_broken_bytes_cost_nobody_anything(
    node_emitter: NodeService, world: tuple[Valkey, Pods], bob: list[JsClient], mine: str
) -> None:
    channel = f"socket.io#/chats#user:bob{mine}#"
    async with Redis.from_url(world[0].url) as redis:
        for payload in (b"\xc1", b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"", b"[1,2,3]"):
            await redis.publish(channel, payload)
            await redis.publish("socket.io-request#/chats#", payload)
    # The emitter itself refuses the name; other emitters may not.
    with pytest.raises(AssertionError, match="reserved event name"):
        await node_emitter.chats(["to", f"user:bob{mine}"], ["emit", "disconnect"])

    assert await heard_by(node_emitter.mark, *bob) == [[], [], []]
    assert [client.connects for client in bob] == [1, 1, 1]


async def test_what_is_not_supported_is_counted_and_logged(
    node_emitter: NodeService, both: Pods, bob: list[JsClient], mine: str
) -> None:
    async def counts(kind: str) -> list[float]:
        return [await _unsupported(pod, kind) for pod in both]

    kinds = ("server_side_emit", "namespace")
    before = {kind: await counts(kind) for kind in kinds}
    for _ in range(3):
        await node_emitter.chats(["serverSideEmit", "hello", "world"])
        await node_emitter.call(["of", "/others"], ["to", f"user:bob{mine}"], ["emit", "e"])
        await node_emitter.call(["of", "/others"], ["socketsJoin", "room"])

    assert await heard_by(node_emitter.mark, *bob) == [[], [], []]
    for kind, times in zip(kinds, (3, 6), strict=True):
        assert await counts(kind) == [count + times for count in before[kind]]
    for pod in both:
        (line,) = pod.log("ignored serverSideEmit: a gateway has no handlers for it")
        assert line["level"] == "warning"
        lines = pod.log("ignored emitters that publish to a namespace that is not served here")
        moments = [datetime.fromisoformat(line["timestamp"]) for line in lines]
        assert moments
        assert all(later - one > timedelta(seconds=59) for one, later in pairwise(moments))


async def test_a_client_that_was_away_gets_what_was_emitted_once_and_in_order(
    gateway: StartGateway, js: JsClients, mine: str
) -> None:
    """The pod that holds it, and that records, is killed; volatile emits are for who is there."""
    with running_valkey() as valkey:
        async with (
            gateway(valkey.url) as a,
            gateway(valkey.url) as b,
            node_service(valkey.url) as emitter,
        ):
            await eventually(lambda: is_recorder(a), PATIENCE_SECONDS, "the first pod records")
            user = f"user:bob{mine}"
            client = await js.connect(
                a.chats_url, user=f"bob{mine}", auth={"userId": f"bob{mine}", "recovery": True},
                **QUICK,
            )  # fmt: skip
            stays = await js.connect(b.chats_url, user=f"bob{mine}")
            await emitter.chats(["to", user], ["emit", "e", 0])
            assert (await client.event("e")).arguments[0] == 0

            await a.kill()
            for number in range(1, 6):
                await emitter.chats(["to", user], ["emit", "e", number, in_bytes(2)])
                await emitter.chats(["volatile"], ["to", user], ["emit", "volatile", number])
            await emitter.chats(["in", user], ["socketsJoin", f"team{mine}"])
            await emitter.chats(["to", f"team{mine}"], ["emit", "e", 6])

            (by_stays,) = await heard_by(emitter.mark, stays)
            assert [event.event for event in by_stays] == ["e", *["e", "volatile"] * 5, "e"]
            # Another pod takes over the port, so that the client finds one where it looks.
            async with gateway(valkey.url, WS_PORT=a.ws_port):
                await client.until(lambda: client.connects == 2, "the client is back")
                await emitter.chats(["to", f"team{mine}"], ["emit", "e", 7])
                heard = [await client.next_event() for _ in range(8)]
            got = [event for event in heard if event.event != "mark"]
            assert {event.event for event in got} == {"e"}
            assert client.recovered == [False, True]
            assert [event.arguments[0] for event in got] == [1, 2, 3, 4, 5, 6, 7]
            assert got[0].arguments[1] == {"type": "Buffer", "data": [7, 7]}


async def is_recorder(pod: Gateway) -> bool:
    return await pod.metric("constellation_recorder") == 1


async def test_a_socket_io_server_beside_the_gateways_shares_its_emits_and_waits_for_nobody(
    world: tuple[Valkey, Pods],
    node_emitter: NodeService,
    bob: list[JsClient],
    js: JsClients,
    mine: str,
) -> None:
    valkey, pods = world
    async with (
        node_service(valkey.url, "server") as server,
        node_service(valkey.url, "server") as other,
    ):
        there = [await js.connect(one.chats_url, user=f"bob{mine}") for one in (server, other)]
        await server.chats(["to", f"user:bob{mine}"], ["emit", "from the server", 1])
        await node_emitter.chats(["to", f"user:bob{mine}"], ["emit", "from the emitter", 2])
        await server.chats(["in", f"user:bob{mine}"], ["socketsJoin", f"team{mine}"])

        async def have_joined() -> bool:
            """A server's own sockets join by way of Redis, too."""
            return await server.chats(["in", f"team{mine}"], ["fetchSockets"]) == len(there)

        await eventually(have_joined, PATIENCE_SECONDS, "the servers' clients have joined")
        await server.chats(["to", f"team{mine}"], ["emit", "to the room", 3])

        for events in await heard_by(server.mark, *bob, *there):
            assert sorted(event.payload for event in events) == [1, 2, 3]
        # The servers answer each other, and wait for nobody else.
        queries = [await _unsupported(pod, "query") for pod in pods]
        assert await server.chats(["fetchSockets"]) == 2
        assert await heard_by(server.mark, *bob) == [[], [], []]
        for pod, before in zip(pods, queries, strict=True):
            assert await _unsupported(pod, "query") == before + 1


async def _unsupported(pod: Gateway, kind: str) -> float:
    return await pod.metric("constellation_emitter_unsupported_total", kind=kind)
