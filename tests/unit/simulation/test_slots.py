"""The model of Redis refuses what a Redis Cluster would, because keys lie in several slots."""

from __future__ import annotations

import pytest

from tests.simulation.hosts import Host, Universe
from tests.simulation.network import Network
from tests.simulation.redis_model.replies import Failure
from tests.simulation.redis_model.server import RedisModel
from tests.simulation.redis_model.slots import CROSS_SLOT, FOREIGN_KEY

HERE, ALSO_HERE, ELSEWHERE = b"{log}:a", b"{log}:b", b"{other}:a"


@pytest.fixture
def redis() -> RedisModel:
    universe = Universe("slots", lambda host, reason: pytest.fail(reason))
    redis = RedisModel()
    redis.start(Host(universe, "redis", "10.0.0.1", Network()))
    return redis


@pytest.mark.parametrize(
    "words",
    [
        [b"DEL", HERE, ELSEWHERE],
        [b"EXISTS", HERE, ELSEWHERE],
        [b"XREAD", b"COUNT", b"1", b"STREAMS", HERE, ELSEWHERE, b"0", b"0"],
        [b"EVAL", b"return 1", b"2", HERE, ELSEWHERE],
    ],
    ids=lambda words: words[0].decode(),
)
def test_keys_of_several_slots_are_refused(redis: RedisModel, words: list[bytes]) -> None:
    assert redis.execute(words) == Failure(CROSS_SLOT)
    one_slot = [ALSO_HERE if word == ELSEWHERE else word for word in words]
    assert not isinstance(redis.execute(one_slot), Failure)


def test_a_script_uses_keys_of_its_own_slot_only(redis: RedisModel) -> None:
    script = b"return redis.call('GET', ARGV[1])"
    assert redis.execute([b"EVAL", script, b"1", HERE, ALSO_HERE]) is None
    reply = redis.execute([b"EVAL", script, b"1", HERE, ELSEWHERE])
    assert isinstance(reply, Failure)
    assert reply.text.startswith(FOREIGN_KEY)


def test_a_command_without_keys_has_no_slot(redis: RedisModel) -> None:
    script = b"return #redis.call('TIME')"
    assert redis.execute([b"EVAL", script, b"0"]) == 2
    assert redis.execute([b"EVAL", script, b"1", HERE]) == 2
