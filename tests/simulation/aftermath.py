"""What is left of clients when all of them have gone.

The judge looks at what clients saw. This looks at what no client sees: users who remain online,
sockets and rooms that are never forgotten, tasks that never end, keys that never expire.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from constellation_ws.redis_io.names import DEFAULT
from tests.simulation.pods import Pod
from tests.simulation.questions import Question, ask
from tests.simulation.world import World

_STEP_SECONDS = 0.5
_ANSWER_SECONDS = 5.0
_READY_SECONDS = 60.0
_PRESENCE_SECONDS = 40.0
"""By then presence is right: what a dead pod said of its users expires after 20 s."""
_FORGOTTEN_SECONDS = 75.0
"""By then clients who have gone are noticed, their ping timeout included; the longest pause before
another attempt to move a session is a minute."""
_SESSION = DEFAULT.session("").encode()


class Baseline:
    """The tasks of pods that have no clients yet."""

    def __init__(self, world: World) -> None:
        self._usual = Counter[str]()
        for pod in world.pods:
            self._usual |= _tasks(pod)

    def beyond(self, pod: Pod) -> Counter[str]:
        """Give the tasks that a pod has and none had in the beginning."""
        return _tasks(pod) - self._usual

    def include(self, pod: Pod) -> None:
        """Take the tasks of another pod without clients for usual too."""
        self._usual |= _tasks(pod)


def find_leftovers(world: World, baseline: Baseline) -> list[str]:
    """Ask who is online, let everybody go, and say what is left behind."""
    if world.was_widened:  # the pods of the beginning had fewer tasks
        spare = world.launch()
        world.wait(_READY_SECONDS, lambda: spare.is_ready, _STEP_SECONDS)
        baseline.include(spare)
    clients = [one for one in world.clients if not one.is_banned]
    here = {one.client.user for one in clients}
    found = [f"everybody is here, and {wrong}" for wrong in _wrong_presence(world, here)]
    for client in clients:
        world.crowd.call_soon(client.go)
    world.crowd.call_soon(world.publishers.go)
    found += [f"everybody has gone, and {wrong}" for wrong in _wrong_presence(world, set())]
    world.wait(
        _FORGOTTEN_SECONDS,
        lambda: not any(_held(pod) or baseline.beyond(pod) for pod in world.pods),
        _STEP_SECONDS,
    )
    for pod in world.pods:
        found += [f"{pod.name} holds {held}, and everybody has gone" for held in _held(pod)]
        if tasks := baseline.beyond(pod):
            found.append(f"{pod.name} has tasks that never end: {dict(tasks)}")
    data = world.redis.data
    if kept := [key for key in data.values if key.startswith(_SESSION) and key not in data.expires]:
        found.append(f"{len(kept)} sessions never expire")
    return found


def _tasks(pod: Pod) -> Counter[str]:
    tasks = asyncio.all_tasks(pod.host)
    return Counter(getattr(task.get_coro(), "__qualname__", "") for task in tasks)


def _held(pod: Pod) -> list[str]:
    """Give what a pod holds for clients; its metrics show the same."""
    clients, rooms = pod.gateway.clients, pod.gateway.events.rooms
    counts = {
        "connections": len(clients.engine.sockets),
        "members": len(rooms),
        "rooms": rooms.room_count,
        "online users": clients.presence.user_count,
    }
    return [f"{count} {name}" for name, count in counts.items() if count]


def _wrong_presence(world: World, here: set[str]) -> Iterator[str]:
    """Say what is wrong with who is online, asked for and announced."""
    if (online := _await_online(world, here)) is None:
        yield "no pod says who is online"
    elif online != here:
        yield f"online: missing {sorted(here - online)}, too many {sorted(online - here)}"
    if (announced := world.announcements) is not None:
        world.wait(_PRESENCE_SECONDS, lambda: announced.online == here, _STEP_SECONDS)
        missing, too_many = sorted(here - announced.online), sorted(announced.online - here)
        if missing or too_many:
            yield f"announced as online: missing {missing}, too many {too_many}"


def _await_online(world: World, wanted: set[str]) -> set[str] | None:
    """Ask until the answer is as wanted, or for long enough; give the last answer."""
    online: set[str] | None = None

    def is_right() -> bool:
        nonlocal online
        online = _online(world)
        return online == wanted

    world.wait(_PRESENCE_SECONDS, is_right, _STEP_SECONDS)
    return online


def _online(world: World) -> set[str] | None:
    """Ask one pod for all users who are online; None where it does not answer."""
    question = Question("getOnlineUsers", {"limit": 1_000})
    world.crowd.begin(ask(world.crowd, world.choose_pod, question))
    world.universe.run(_ANSWER_SECONDS, lambda: question.is_over)
    return set(question.data["users"]) if question.is_successful else None
