"""Links of clients fail: cut, silent, stalled, or away for a while."""

from __future__ import annotations

from tests.chaos.plan import Lane
from tests.simulation.clients import VirtualClient
from tests.simulation.faults.kinds import Blow, Fault, Steps
from tests.simulation.world import World


def cut(world: World, blow: Blow) -> Steps:
    """The links of the frail are reset."""
    with world.strike(blow.name, is_lossy=False, group="frail"):
        for client in _of(world, "frail"):
            for end in client.connections():
                end.arrive("RST")
                end.pipe.send("RST")
        yield 0.0


def half_open(world: World, blow: Blow) -> Steps:
    """The links of the frail go silent, and nobody is told."""
    with world.strike(blow.name, is_lossy=False, group="frail"):
        for client in _of(world, "frail"):
            for end in client.connections():
                end.pipe.hold()
                end.peer.pipe.hold()
        yield blow.seconds


def stall(world: World, blow: Blow) -> Steps:
    """A proxy reads from the gateway and forwards nothing; then the connections break."""
    with world.strike(blow.name, is_lossy=False, group="stalling"):
        is_both = blow.chance.random() < 0.5
        clients = _of(world, "stalling")
        ends = [end for client in clients for end in client.connections()]
        for end in ends:
            end.peer.pipe.hold()
            if is_both:
                end.pipe.hold()
        yield blow.seconds
        for end in ends:
            end.peer.pipe.drop()
            end.arrive("RST")
            end.pipe.drop()
            end.pipe.release()
            end.pipe.send("RST")
        yield 0.0


def stall_and_go_on(world: World, blow: Blow) -> Steps:
    """The same, but in the end all that was held arrives."""
    with world.strike(blow.name, is_lossy=False, group="stalling"):
        ends = [end for client in _of(world, "stalling") for end in client.connections()]
        for end in ends:
            end.peer.pipe.hold()
        yield blow.seconds
        for end in ends:
            end.peer.pipe.release()
        yield 0.0


def away(world: World, blow: Blow) -> Steps:
    """Some clients are gone for a while: a tunnel, a laptop that sleeps."""
    with world.strike(blow.name, is_lossy=False, group="away"):
        clients = _of(world, "away")
        for client in clients:
            client.leave()
        yield blow.seconds
        for client in clients:
            client.come_back()
        yield 0.0


def _of(world: World, group: str) -> list[VirtualClient]:
    return [client for client in world.clients if client.client.group == group]


FAULTS = (
    Fault("cut-clients", Lane.CLIENTS, cut),
    Fault("silent-clients", Lane.CLIENTS, half_open, 5.0, 8.0),
    Fault("stall", Lane.CLIENTS, stall, 0.5, 14.0, weight=2),
    Fault("stall-resumes", Lane.CLIENTS, stall_and_go_on, 0.5, 14.0),
    Fault("away", Lane.CLIENTS, away, 0.5, 25.0, weight=2),
)
