"""What can strike a world, by name."""

from __future__ import annotations

from tests.simulation.faults import clients, links, pods, redis
from tests.simulation.faults.kinds import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault for module in (redis, links, pods, clients) for fault in module.FAULTS
}
