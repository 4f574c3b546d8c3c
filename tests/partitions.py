"""Partitions of the log as tests know them from outside: the setting, and the keys in Redis."""

from __future__ import annotations

from typing import Any, cast

from constellation_ws.redis_io.names import DEFAULT, Names

LOG_PARTITIONS = "CONSTELLATION_LOG_PARTITIONS"
"""The setting."""
ARE_BUILT = False
"""Whether gateways have it. Until then journeys with several partitions are skipped, and worlds of
the simulation have one."""


def names_of(partition: int) -> Names:
    """Give the names of a partition's keys."""
    names: Any = DEFAULT
    return DEFAULT if partition == 0 else cast("Names", names.of_partition(partition))


def log_of(partition: int) -> str:
    """Give the key of a partition's stream."""
    return names_of(partition).log
