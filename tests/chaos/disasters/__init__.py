"""All that can go wrong, by what it strikes. `ALL` names each; a plan strings them together."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.disasters import clients, clocks, cluster, links, pods, redis, refusals, sentinel
from tests.chaos.disasters.kinds import Disaster

ALL: Mapping[str, Disaster] = {
    one.name: one
    for module in (redis, refusals, links, pods, clients, sentinel, cluster, clocks)
    for one in module.DISASTERS
}
