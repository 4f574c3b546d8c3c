"""Gateways are replaced, die, or stand still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from tests.chaos.ledger import Event, Way
from tests.chaos.plan import Lane
from tests.chaos.timeline import Strike
from tests.simulation.faults.kinds import Blow, Fault, Steps
from tests.simulation.pods import Pod
from tests.simulation.world import World

_LOOK_SECONDS = 0.1
_READY_SECONDS = 60.0


def roll(world: World, blow: Blow) -> Steps:
    """A pod is replaced as Kubernetes does: the new one is ready, then the old one gets SIGTERM."""
    with world.strike(blow.name, is_lossy=False) as strike:
        slot = blow.chance.randrange(len(world.pods))
        yield from _roll(world, [slot])
        _judge_roll(world, strike)


def roll_all(world: World, blow: Blow) -> Steps:
    """All pods are replaced, one after the other; then they have all partitions of the log.

    Pods that have more partitions than before cannot resume sessions of those before them.
    """
    with world.strike(blow.name, is_lossy=world.widen()) as strike:
        for slot in range(len(world.pods)):
            yield from _roll(world, [slot])
        _judge_roll(world, strike)


def roll_listeners(world: World, blow: Blow) -> Steps:
    """All pods that listen are replaced, at once."""
    with world.strike(blow.name, is_lossy=False) as strike:
        slots = [slot for slot, pod in enumerate(world.pods) if pod.is_listener]
        yield from _roll(world, slots)
        _judge_roll(world, strike)


def _roll(world: World, slots: Sequence[int]) -> Iterator[float]:
    fresh = [world.launch() for _ in slots]
    for pod in fresh:
        yield from _ready(pod)
    old = [world.pods[slot] for slot in slots if world.pods[slot].is_alive]
    for slot, pod in zip(slots, fresh, strict=True):
        world.pods[slot] = pod
    for pod in old:
        world.sample(pod)
    yield from _stop(world, *old)


def _judge_roll(world: World, strike: Strike) -> None:
    """While pods are replaced some pod always listens."""
    if world.is_undisturbed(strike):
        events = world.ledger.events.values()
        unheard = [
            one.number for one in events if one.sent_ms >= strike.start_ms and _is_unheard(one)
        ]
        if unheard:
            world.troubles.append(f"nobody listened to {unheard[:5]} while pods were replaced")


def _is_unheard(event: Event) -> bool:
    return event.way is Way.PUBLISH and event.answer == "0"


def former(world: World, blow: Blow) -> Steps:
    """A pod of the release before packed entries joins, serves clients, and leaves or is killed.

    Where entries are packed, the epoch ends once: it may have passed over some of them. Where the
    log has partitions that release is not supported: it follows the first one only.
    """
    if world.partitions > 1:
        return
    with world.strike(blow.name, is_lossy=world.is_packing) as strike:
        pod = world.launch(is_former=True)
        world.note("director", f"{pod.name} is of the release before packed entries")
        yield from _ready(pod)
        world.pods.append(pod)
        seen = world.last_entries
        yield blow.seconds
        world.pods.remove(pod)
        if world.is_undisturbed(strike) and (count := world.packed_entries(seen)):
            world.troubles.append(f"{count} packed entries while {pod.name} could not read them")
        world.sample(pod)
        if blow.chance.random() < 0.5:
            world.note("director", f"SIGKILL to {pod.name}")
            strike.is_lossy = strike.is_lossy or world.is_lost_with()
            world.doubt_after_kill(pod)
            world.traceless.add(pod.name)
            pod.kill()
        else:
            yield from _stop(world, pod)
            if world.redis.host.is_paused:
                world.traceless.add(pod.name)


def _ready(pod: Pod) -> Steps:
    waited = 0.0
    while not pod.is_ready and waited < _READY_SECONDS:
        yield _LOOK_SECONDS
        waited += _LOOK_SECONDS


def _stop(world: World, *pods: Pod) -> Steps:
    for pod in pods:
        world.note("director", f"SIGTERM to {pod.name}")
        pod.stop()
    while any(pod.is_alive for pod in pods):
        yield _LOOK_SECONDS
    for pod in pods:
        if pod.exit_code != 0:
            world.troubles.append(f"{pod.name}: exit code {pod.exit_code} {pod.failure}")


def stop_all(world: World, blow: Blow) -> Steps:
    """All pods are stopped at once, as when a deployment is scaled to none, and started again.

    Pods that have just started, and record nothing yet, may have to report what they received.
    """
    with world.strike(blow.name, is_lossy=not world.is_recorded, delays=True):
        slots = [slot for slot, pod in enumerate(world.pods) if pod.is_alive]
        old = [world.pods[slot] for slot in slots]
        for pod in old:
            world.sample(pod)
        yield from _stop(world, *old)
        yield blow.seconds
        for slot in slots:
            world.pods[slot] = world.launch()
        yield 0.0


def kill(world: World, blow: Blow) -> Steps:
    """A pod is killed, and started again after a while."""
    slot = blow.chance.randrange(len(world.pods))
    is_lossy = world.is_lost_with(world.pods[slot])
    with world.strike(blow.name, is_lossy=is_lossy, delays=True):
        yield from _kill(world, [slot], blow.seconds)


def kill_recorder(world: World, blow: Blow) -> Steps:
    """The pod that records is killed."""
    slots = [slot for slot, pod in enumerate(world.pods) if pod.is_recorder]
    is_lossy = bool(slots) and world.is_lost_with(world.pods[slots[0]])
    with world.strike(blow.name, is_lossy=is_lossy, delays=True):
        if slots:
            yield from _kill(world, slots[:1], blow.seconds)


def kill_listeners(world: World, blow: Blow) -> Steps:
    """All pods that listen are killed at once; where all pods do, one is left."""
    with world.strike(blow.name, is_lossy=True):
        slots = [slot for slot, pod in enumerate(world.pods) if pod.is_listener]
        yield from _kill(world, slots[: len(world.pods) - 1], blow.seconds)


def _kill(world: World, slots: Sequence[int], seconds: float) -> Steps:
    for slot in slots:
        pod = world.pods[slot]
        world.sample(pod)
        world.note("director", f"SIGKILL to {pod.name}")
        world.doubt_after_kill(pod)
        pod.kill()
    yield seconds
    for slot in slots:
        world.pods[slot] = world.launch()
    yield 0.0


def pause(world: World, blow: Blow) -> Steps:
    """A pod stands still, as a virtual machine that is moved; then all its timers are late."""
    pod = blow.chance.choice(world.pods)
    with world.strike(blow.name, is_lossy=world.is_lost_with(pod), delays=True):
        yield from _pause(world, [pod.host], blow.seconds)


def pause_all(world: World, blow: Blow) -> Steps:
    """All pods stand still."""
    with world.strike(blow.name, is_lossy=True):
        yield from _pause(world, [pod.host for pod in world.pods], blow.seconds)


def _pause(world: World, hosts: list, seconds: float) -> Steps:  # type: ignore[type-arg]
    names = ", ".join(host.name for host in hosts)
    world.note("director", f"stops {names}")
    began_ms = world.universe.now_ms
    for host in hosts:
        host.is_paused = True
    yield seconds
    world.note_pause({host.name for host in hosts}, began_ms)
    for host in hosts:
        host.is_paused = False
        yield 0.0


def step_clock(world: World, blow: Blow) -> Steps:
    """The wall clock of a pod is set."""
    with world.strike(blow.name, is_lossy=False):
        pod, step = blow.chance.choice(world.pods), blow.chance.choice((-600, -31, 31, 600))
        world.note("director", f"the clock of {pod.name} is set by {step} s")
        pod.host.wall_offset += step
    yield 0.0


def part_peers(world: World, blow: Blow) -> Steps:
    """Two pods do not reach each other."""
    with world.strike(blow.name, is_lossy=False, group="peers"):
        if len(world.pods) > 1:
            one, other = (pod.host.address for pod in _two(world, blow.chance))
            world.network.isolate(one, other)
            yield blow.seconds
            world.network.rejoin(one, other)


def _two(world: World, chance: Random) -> list:  # type: ignore[type-arg]
    return chance.sample(world.pods, 2)


FAULTS = (
    Fault("roll", Lane.PODS, roll, weight=2),
    Fault("roll-all", Lane.PODS, roll_all),
    Fault("roll-listeners", Lane.PODS, roll_listeners),
    Fault("stop-all", Lane.PODS, stop_all, 0.0, 5.0, is_alone=True),
    Fault("kill", Lane.PODS, kill, 0.0, 5.0),
    Fault("kill-recorder", Lane.PODS, kill_recorder, 0.0, 5.0, weight=2),
    Fault("kill-listeners", Lane.PODS, kill_listeners, 0.0, 5.0),
    Fault("former-release", Lane.PODS, former, 1.0, 14.0, weight=2),
    Fault("pause", Lane.PODS, pause, 0.5, 20.0),
    Fault("pause-all", Lane.PODS, pause_all, 0.5, 20.0),
    Fault("step-pod-clock", Lane.PODS, step_clock),
    Fault("part-peers", Lane.PODS, part_peers, 1.0, 14.0),
)
