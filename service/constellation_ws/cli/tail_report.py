"""`tail`, from the settings to what is printed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import islice

from constellation_ws.cli.listen import Patience, printable
from constellation_ws.cli.redis_connection import RedisFailed, connected, reaching
from constellation_ws.cli.reporting import FAILED, complain, exit_on, warn, write_json
from constellation_ws.cli.tail import Reader, Wanted, doubt_of, follow, unrecorded
from constellation_ws.delivery.command_reading import CommandReader
from constellation_ws.interface.table import Interface
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.interface import compile_routes, namespaces_of


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments."""

    wanted: Wanted
    since_seconds: float
    patience: Patience
    as_json: bool


def run(values: Settings, interface: Interface, asked: Asked) -> int:
    """Print events as they pass, and give the exit code."""
    table, emitters = compile_routes(interface), values.redis.emitter_channels()
    commands = CommandReader(emitters, namespaces_of(interface), values.limits.max_event_bytes)
    keeps_log = values.delivery.mode == "durable"
    live = unrecorded(table, emitters.patterns, keeps_log=keeps_log)
    names, (count, seconds) = values.redis.names(), (asked.patience.events, asked.patience.seconds)
    address, channel = values.redis.address(), asked.wanted.channel
    if channel is not None and (
        doubt := doubt_of(channel, table, names.commands, emitters, keeps_log=keeps_log)
    ):
        warn(doubt)
    until, shown = time.monotonic() + (math.inf if seconds is None else seconds), 0
    with exit_on(FAILED, RedisFailed), connected(address, names) as redis:
        reader, since = Reader(table, commands), asked.since_seconds
        reach = reaching(address)
        passed = follow(redis, names, reader, live, since_seconds=since, until=until, reach=reach)
        for one in islice(filter(asked.wanted.matches, passed), count):
            shown += 1
            if asked.as_json:
                write_json(one.facts())
            else:
                print(printable(one.to_line()), flush=True)
    if count is not None and shown < count:
        complain(f"{shown} of {count} events passed within {seconds:g} s.")
        return FAILED
    return 0
