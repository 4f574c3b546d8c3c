"""Does what is published arrive, and how soon? It takes the Redis of the deployment's settings."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from redis import Redis

from constellation_ws.cli import deployment, status
from constellation_ws.cli.deployment import Pod
from constellation_ws.cli.doctor.target import Http, words_of
from constellation_ws.cli.findings import Finding, failed, ok, skipped
from constellation_ws.cli.lean_client import LeanClient, Lost, Refused
from constellation_ws.cli.redis_connection import Reach, RedisFailed, required, same_redis
from constellation_ws.cli.refusal import require_writes
from constellation_ws.messages.commands import EMITTER_CHANNEL
from constellation_ws.redis_io.names import Names

_EVENTS = 10
_EVENT = "doctor"
_PAUSE_SECONDS = 0.02
_ARRIVE_SECONDS = 3.0
_FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError, Lost)


@dataclass(frozen=True, slots=True)
class Inside:
    """The deployment's Redis."""

    redis: Redis
    names: Names
    delivery: str
    reach: Reach = same_redis
    """Reaches the log's other partitions."""

    def pods(self) -> list[Pod]:
        """List the pods that have registered. Raises RedisFailed, also if they cannot."""
        require_writes(self.redis, self.names)
        return deployment.pods(self.redis, self.names)

    def problems(self) -> list[str]:
        """Say what is wrong there. Raises RedisFailed."""
        found = status.inspect(self.redis, self.names, self.delivery, self.reach)
        return list(found.problems())

    def publish(self, namespace: str, user: str, number: int) -> None:
        """Publish to a user as a Socket.IO emitter does: it goes the way of every PUBLISH.

        Raises RedisFailed.
        """
        with required("Redis did not accept an event"):
            self.redis.publish(EMITTER_CHANNEL, emission(namespace, user, _EVENT, number))


def emission(namespace: str, user: str, event: str, argument: object) -> str:
    """Write what python-socketio's emitter publishes for one user."""
    return json.dumps(
        {
            "method": "emit",
            "event": event,
            "data": [argument],
            "namespace": namespace,
            "room": f"user:{user}",
        }
    )


async def check_delivery(http: Http, inside: Inside) -> Finding:
    """Publish some events and wait for each."""
    try:
        async with http.websocket() as websocket:
            client = LeanClient(websocket, http.target.namespace)
            async with asyncio.timeout(_ARRIVE_SECONDS):
                await client.open()
                await client.connect(http.target.auth)
            taken_ms = [await _publish_one(client, http, inside, n) for n in range(_EVENTS)]
    except Refused:
        return skipped("delivery", "the namespace refuses this client")
    except RedisFailed as error:
        return failed("delivery", str(error), "check REDIS_URL, and that Redis accepts commands")
    except TimeoutError:
        return _judge_silence(inside)
    except _FAULTS as error:
        return skipped("delivery", f"no WebSocket stays open: {words_of(error)}")
    return judge_times(taken_ms)


async def _publish_one(client: LeanClient, http: Http, inside: Inside, number: int) -> float:
    """Give the milliseconds from PUBLISH to its arrival. Raises TimeoutError, Lost."""
    await asyncio.sleep(_PAUSE_SECONDS)
    began = time.monotonic()
    inside.publish(http.target.namespace, http.target.user, number)
    async with asyncio.timeout(_ARRIVE_SECONDS):
        while (event := await client.next()).name != _EVENT or event.arguments[0] != number:
            pass
    return (time.monotonic() - began) * 1000


def judge_times(taken_ms: Sequence[float]) -> Finding:
    """Say how soon events arrive."""
    ordered = sorted(taken_ms)
    median, most = ordered[len(ordered) // 2], ordered[-1]
    detail = f"{len(ordered)} events arrived, in {median:.1f} ms (median), {most:.1f} ms at most"
    return ok("delivery", detail)


def _judge_silence(inside: Inside) -> Finding:
    detail = f"a published event does not arrive within {_ARRIVE_SECONDS:g} s"
    problems = inside.problems()
    if problems:
        return failed(
            "delivery", f"{detail}: {'; '.join(problems)}", "see that, then run doctor again"
        )
    remedy = (
        "compare REDIS_URL and CONSTELLATION_REDIS_PREFIX here with the pods'; "
        "see ConstellationNotDelivering in docs/operations.md"
    )
    return failed("delivery", detail, remedy)
