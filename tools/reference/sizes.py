"""What `constellation-ws size` computes with: its unit costs, and the limits that follow."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields

from constellation_ws.cli.sizing import provision, usage
from constellation_ws.cli.sizing.load import DEFAULT_LOG, Bounds, Load
from constellation_ws.cli.sizing.unit_costs import DURABLE, LIVE, UnitCosts
from constellation_ws.cli.sizing.usage import Role
from constellation_ws.settings.delivery import DeliverySettings
from constellation_ws.settings.limits import LimitSettings
from tools.reference import Row, table

_USERS_OF_A_POD = 10_000
_RECIPIENTS = 3
_EVENT_BYTES = 300
_WINDOW_SECONDS = 120
_COUNTS_OF_PODS = (1, 2, 3, 6, 12, 20)
_LARGE = Load(500_000, 8_000, _RECIPIENTS, _EVENT_BYTES, _WINDOW_SECONDS)
_COUNTS_OF_CELLS = (1, 2, 4, 8)


def costs() -> str:
    """Write the unit costs of both ways of delivery, with what they are of."""
    told = _docstrings()
    rows = (
        (f"`{one.name}`", told[one.name], _written(DURABLE, one.name), _written(LIVE, one.name))
        for one in fields(UnitCosts)
        if one.name != "is_logged"
    )
    return table(("name", "what", "durable", "live"), rows)


def _docstrings() -> dict[str, str]:
    (found,) = ast.parse(inspect.getsource(UnitCosts)).body
    assert isinstance(found, ast.ClassDef)
    told: dict[str, str] = {}
    for before, after in zip(found.body, found.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                told[name] = " ".join(text.split())
    return told


def _written(found: UnitCosts, name: str) -> str:
    return f"{getattr(found, name):,g}"


def limits() -> str:
    """Write the events per second at which something is full, by the number of pods."""
    head = ("pods", "recorder full", "pod full", "Redis full", "Redis at 60 %", "× pods")
    return table(head, (_limit_row(pods) for pods in _COUNTS_OF_PODS))


def _limit_row(pods: int) -> Row:
    load = Load(_USERS_OF_A_POD * pods, 0, _RECIPIENTS, _EVENT_BYTES, _WINDOW_SECONDS)
    full = provision.full_at(load, pods, DURABLE)
    early = provision.full_at(load, pods, DURABLE, provision.MOST_REDIS_MILLICORES / 1_000).redis
    rates = (full.recorder, full.pod, full.redis, early, early * pods)
    return (str(pods), *map(_rough, rates))


def cells() -> str:
    """Write what a large deployment uses as one, and cut into cells."""
    head = (
        "cells",
        "events/s of a cell",
        "pods of a cell",
        "events/s × pods",
        "Redis of a cell, of a core",
        "of that for copies to pods",
        "CPU of all pods, cores",
        "of that for events without a local recipient",
    )
    return table(head, _cell_rows())


def _cell_rows() -> Iterator[Row]:
    delivery, most = DeliverySettings.model_fields, LimitSettings.model_fields
    bounds = Bounds(
        delivery["log_max_entries"].default,
        most["max_connections"].default,
        most["max_connects_per_second"].default,
        most["max_event_bytes"].default,
    )
    for count in _COUNTS_OF_CELLS:
        rate = _LARGE.events_per_second / count
        load = Load(_LARGE.users // count, rate, _RECIPIENTS, _EVENT_BYTES, _WINDOW_SECONDS)
        pods = provision.chosen_pods(load, bounds, DURABLE)
        all_pods = sum(
            usage.pod_cpu(load, pods, DURABLE, role).millicores for role in _roles_of(pods)
        )
        redis = usage.redis_cpu(load, pods, DURABLE)
        copies = sum(one.millicores for one in redis.terms if "×" in one.what)
        wasted = sum(_unwanted(load, pods, role) for role in _roles_of(pods))
        yield (
            str(count),
            f"{rate:,.0f}",
            str(pods),
            _rough(rate * pods),
            f"{redis.millicores / 10:.0f} %",
            f"{copies / 10:.0f} %",
            f"{count * all_pods / 1_000:.1f}",
            f"{count * wasted / 1_000:.1f}",
        )


def _roles_of(pods: int) -> list[Role]:
    """Give the role of each pod."""
    listeners = DEFAULT_LOG.listening(pods) - 1
    return [Role.RECORDER] + [Role.LISTENER] * listeners + [Role.POD] * (pods - 1 - listeners)


def _unwanted(load: Load, pods: int, role: Role) -> float:
    """Give millicores of a pod for events that have no recipient on it."""
    rate, turns = load.events_per_second, usage.batches(load, DURABLE)
    first = rate * usage.local_share(load, pods)
    batches = turns - min(turns, first)
    of_event, of_batch = DURABLE.event_us, DURABLE.pod_batch_us
    if role is Role.POD:
        of_event -= DURABLE.listen_event_us
        of_batch -= DURABLE.listen_batch_us
    of_event += DURABLE.event_kib_us * load.event_bytes / 1024
    return (batches * of_batch + (rate - first) * of_event) / 1_000


def _rough(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}"
