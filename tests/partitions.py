"""Partitions of the log as tests know them from outside: the setting, and the keys in Redis."""

from __future__ import annotations

from binascii import crc_hqx
from typing import Any, cast

from constellation_ws.redis_io.names import DEFAULT, Names

LOG_PARTITIONS = "CONSTELLATION_LOG_PARTITIONS"
"""The setting."""


def names_of(partition: int, names: Names = DEFAULT) -> Names:
    """Give the names of a partition's keys, in a deployment that has these names."""
    found: Any = names
    return names if partition == 0 else cast("Names", found.of_partition(partition))


def log_of(partition: int, names: Names = DEFAULT) -> str:
    """Give the key of a partition's stream."""
    return names_of(partition, names).log


def partition_of(room: str, partitions: int) -> int:
    """Give the partition of what goes by a room: part of the contract, for producers."""
    return crc_hqx(room.encode(), 0) % partitions
