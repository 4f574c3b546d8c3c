"""Single links between gateways and Redis fail, while Redis and everything else is well."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.plan import Lane
from tests.chaos.timeline import Strike
from tests.simulation.faults.kinds import Blow, Fault, Steps
from tests.simulation.network import Connection
from tests.simulation.world import World

_LOOK_SECONDS = 0.25
_SUBSCRIBES, _READS = b"SUBSCRIBE", b"XREAD"
_APPENDS = b"'at', ARGV[i + 2]"
"""In the script that the recorder loads on the connection on which it appends."""


def kill_pubsub(world: World, blow: Blow) -> Steps:
    """Redis closes the Pub/Sub links of all pods, several times in a row."""
    with world.strike(blow.name, is_lossy=True):
        for _ in range(blow.chance.randrange(1, 6)):
            for link in world.redis_links(_SUBSCRIBES):
                link.close_from_server()
            yield blow.chance.uniform(0.05, 0.6)


def kill_one_pubsub(world: World, blow: Blow) -> Steps:
    """Redis closes the Pub/Sub link of one pod. The others have what it misses."""
    with world.strike(blow.name, is_lossy=True):
        links = world.redis_links(_SUBSCRIBES)
        if links:
            blow.chance.choice(links).close_from_server()
    yield 0.0


def cut_links(world: World, blow: Blow) -> Steps:
    """Every link of every pod is reset at once, as by a network that converges."""
    with world.strike(blow.name, is_lossy=True):
        now_ms = world.universe.now_ms
        for link in world.redis_links():
            link.cut()
        world.timeline.cuts.append((now_ms - 50, now_ms + 50))
    yield 0.0


def _hold(mark: bytes, *, is_delivered: bool) -> Callable[[World, Blow], Steps]:
    def hold(world: World, blow: Blow) -> Steps:
        with world.strike(blow.name, is_lossy=True):
            links = world.redis_links(mark)
            directions = blow.chance.choice((("out",), ("in",), ("out", "in")))
            link = blow.chance.choice(links) if links else None
            hides_events = mark == _SUBSCRIBES and "in" in directions
            if link is not None:
                world.note("director", f"{link.client.host.name}: holds {' and '.join(directions)}")
                link.hold(*directions)
                if hides_events:
                    world.note_held(link.client.host.name, blow.seconds)
            yield blow.seconds
            if link is not None and is_delivered:
                link.release()
            elif link is not None and blow.chance.random() < 0.5:
                link.cut()
        if link is not None and hides_events and not is_delivered:
            _delay_until_noticed(world, blow.name, link)

    return hold


def _delay_until_noticed(world: World, name: str, link: Connection) -> None:
    """Note how long a pod keeps a link that stays silent, as one that a firewall has forgotten.

    A pod that records may be the only one to do so meanwhile, and what it receives late is recorded
    late: also for who has joined since.
    """
    strike = world.timeline.begin(Strike(name, world.universe.now_ms, delays=True))

    def look() -> None:
        if link.client.is_lost:
            strike.end_ms = world.universe.now_ms
        else:
            world.director.call_later(_LOOK_SECONDS, look)

    look()


def isolate(world: World, blow: Blow) -> Steps:
    """One pod reaches Redis no more, and nothing tells it so."""
    with world.strike(blow.name, is_lossy=True):
        pod, redis = blow.chance.choice(world.pods).host, world.redis.host
        world.note("director", f"isolates {pod.name}")
        world.network.isolate(pod.address, redis.address)
        yield blow.seconds
        world.network.rejoin(pod.address, redis.address)


FAULTS = (
    Fault("kill-pubsub", Lane.REDIS, kill_pubsub, weight=2),
    Fault("kill-one-pubsub", Lane.REDIS, kill_one_pubsub),
    Fault("cut-redis-links", Lane.REDIS, cut_links),
    Fault("hold-append", Lane.REDIS, _hold(_APPENDS, is_delivered=False), 0.5, 14.0),
    Fault("delay-append", Lane.REDIS, _hold(_APPENDS, is_delivered=True), 0.2, 14.0, weight=2),
    Fault("hold-pubsub", Lane.REDIS, _hold(_SUBSCRIBES, is_delivered=False), 0.5, 18.0),
    Fault("delay-pubsub", Lane.REDIS, _hold(_SUBSCRIBES, is_delivered=True), 0.2, 18.0),
    Fault("delay-tail", Lane.REDIS, _hold(_READS, is_delivered=True), 0.2, 14.0),
    Fault("isolate-pod", Lane.REDIS, isolate, 0.5, 18.0),
)
