"""Redis stops, hangs, refuses, or comes back with less than it had."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.plan import Lane
from tests.partitions import log_of
from tests.simulation.faults.kinds import Blow, Fault, Steps
from tests.simulation.world import World


def restart(world: World, blow: Blow) -> Steps:
    """Redis is stopped, and comes back with its data."""
    with world.strike(blow.name, is_lossy=True):
        world.redis.host.kill()
        yield blow.seconds
        world.start_redis()


def empty_restart(world: World, blow: Blow) -> Steps:
    """Redis comes back without any data."""
    with world.strike(blow.name, is_lossy=True):
        world.redis.host.kill()
        world.redis.data.clear()
        yield blow.seconds
        world.start_redis()


def rollback(world: World, blow: Blow) -> Steps:
    """Redis comes back with an older snapshot, or a replica that lagged is promoted."""
    behind = blow.chance.uniform(0.02, 4.0)
    snapshot = world.redis.data.snapshot()
    yield behind
    with world.strike(f"{blow.name} {behind:.2f} s", is_lossy=True):
        world.redis.host.kill()
        world.redis.data.restore(snapshot)
        yield blow.seconds
        world.start_redis()


def hang(world: World, blow: Blow) -> Steps:
    """Redis does nothing, and goes on after a while."""
    with world.strike(blow.name, is_lossy=True):
        host = world.redis.host
        host.is_paused = True
        yield blow.seconds
        host.is_paused = False


def hang_and_restart(world: World, blow: Blow) -> Steps:
    """Redis does nothing, and is then started again, with its data."""
    with world.strike(blow.name, is_lossy=True):
        world.redis.host.is_paused = True
        yield blow.seconds
        world.redis.host.kill()
        yield blow.chance.uniform(0, 1)
        world.start_redis()


def _refuse(code: str) -> Callable[[World, Blow], Steps]:
    def refuse(world: World, blow: Blow) -> Steps:
        with world.strike(blow.name, is_lossy=True):
            world.redis.refuses = code
            yield blow.seconds
            world.redis.refuses = None

    return refuse


def flushall(world: World, blow: Blow) -> Steps:
    """Somebody empties Redis."""
    with world.strike(blow.name, is_lossy=True):
        world.redis.data.clear()
    yield 0.0


def delete_log(world: World, blow: Blow) -> Steps:
    """Somebody deletes the stream; then a pod is replaced, which has none of it in its memory."""
    with world.strike(blow.name, is_lossy=True):
        world.redis.execute([b"DEL", _log(world, blow)])
    yield 0.0


def trim_log(world: World, blow: Blow) -> Steps:
    """Somebody trims the stream to a few entries."""
    with world.strike(blow.name, is_lossy=True):
        most = blow.chance.choice((b"0", b"1", b"5"))
        world.redis.execute([b"XTRIM", _log(world, blow), b"MAXLEN", most])
    yield 0.0


def _log(world: World, blow: Blow) -> bytes:
    """Choose a partition's stream."""
    count = world.partitions
    return log_of(blow.chance.randrange(count) if count > 1 else 0).encode()


def lose_key(world: World, blow: Blow) -> Steps:
    """Redis evicts a key."""
    with world.strike(blow.name, is_lossy=True):
        keys = sorted(world.redis.data.values)
        if keys:
            key = blow.chance.choice(keys)
            world.note("director", f"evicts {key.decode(errors='replace')}")
            world.redis.execute([b"DEL", key])
    yield 0.0


def step_clock(world: World, blow: Blow) -> Steps:
    """The clock of Redis is set."""
    with world.strike(blow.name, is_lossy=True):
        step = blow.chance.choice((-31.0, -5.0, -0.4, 0.4, 5.0, 31.0))
        world.redis.clock_offset += step
        world.note("director", f"the clock of Redis is set by {step:g} s")
    yield 0.0


FAULTS = (
    Fault("restart", Lane.REDIS, restart, 0.0, 4.0),
    Fault("empty-restart", Lane.REDIS, empty_restart, 0.0, 4.0),
    Fault("rollback", Lane.REDIS, rollback, 0.0, 4.0, weight=2),
    Fault("hang", Lane.REDIS, hang, 0.3, 20.0),
    Fault("hang-restart", Lane.REDIS, hang_and_restart, 0.3, 8.0),
    Fault("full", Lane.REDIS, _refuse("OOM"), 1.0, 14.0),
    Fault("misconf", Lane.REDIS, _refuse("MISCONF"), 1.0, 14.0),
    Fault("read-only", Lane.REDIS, _refuse("READONLY"), 1.0, 14.0),
    Fault("flushall", Lane.REDIS, flushall),
    Fault("delete-log", Lane.REDIS, delete_log),
    Fault("trim-log", Lane.REDIS, trim_log),
    Fault("lose-key", Lane.REDIS, lose_key),
    Fault("step-redis-clock", Lane.REDIS, step_clock),
)
