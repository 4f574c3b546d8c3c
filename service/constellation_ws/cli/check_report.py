"""`check`, from the settings to what is printed: tables, or one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from constellation_ws.cli import check
from constellation_ws.cli.check_peers import inspect_peers
from constellation_ws.cli.findings import Finding, Verdict
from constellation_ws.cli.redis_connection import RedisFailed, located, made, reaching
from constellation_ws.cli.reporting import FAILED, to_table, write_json
from constellation_ws.interface.table import Interface
from constellation_ws.runtime import open_files
from constellation_ws.settings import settings
from constellation_ws.settings.settings import Effective, Settings
from constellation_ws.wiring.interface import compile_routes


def run(values: Settings, interface: Interface, *, shows_defaults: bool, as_json: bool) -> int:
    """Print the settings and what was found, and give the exit code.

    People see the settings that are set, and the defaults too with `shows_defaults`.
    """
    findings = _findings(values, interface)
    shown = list(settings.effective(values))
    if as_json:
        write_json(_facts(shown, findings))
    else:
        chosen = [one for one in shown if shows_defaults or not one.is_default]
        print(to_table(_setting_rows(chosen, shows_all=shows_defaults)), end="\n\n")
        rows = ((one.verdict.value, one.subject, one.detail) for one in findings)
        print(to_table(rows), end="\n\n")
        print(conclusion(findings))
    return FAILED if check.has_failed(findings) else 0


def conclusion(findings: Iterable[Finding]) -> str:
    """Say in one line whether a gateway would work."""
    findings = list(findings)
    worst = check.worst(findings)
    named = ", ".join(dict.fromkeys(one.subject for one in findings if one.verdict is worst))
    match worst:
        case Verdict.FAILED:
            return f"FAILED: a gateway could not work; see {named}"
        case Verdict.WARNING:
            return f"ok: a gateway would work, with warnings; see {named}"
        case _:
            return "ok: a gateway would work"


def _setting_rows(shown: Iterable[Effective], *, shows_all: bool) -> list[tuple[str, ...]]:
    rows = [
        (one.variable, one.value or "(none)", "default" if one.is_default else "set")
        for one in shown
    ]
    if not rows:
        return [("Every setting has its default; --all shows them.",)]
    more = [] if shows_all else [("(--all shows the defaults too)", "", "")]
    return [("setting", "value", "from"), *rows, *more]


def _facts(shown: Iterable[Effective], findings: Iterable[Finding]) -> Mapping[str, Any]:
    findings = list(findings)
    return {
        "settings": [
            {"variable": one.variable, "value": one.value, "isDefault": one.is_default}
            for one in shown
        ],
        "findings": [
            {"verdict": one.verdict.value.lower(), "subject": one.subject, "detail": one.detail}
            for one in findings
        ],
        "verdict": check.worst(findings).value.lower(),
    }


def _findings(values: Settings, interface: Interface) -> list[Finding]:
    files = open_files.share(
        open_files.raise_limit(), values.limits.tcp_max_connections, values.api_connections()
    )
    findings = [
        check.inspect_variables(
            settings.unknown_variables(),
            settings.padded_secrets(values),
            settings.without_effect(values),
        ),
        check.inspect_certificates(values.invalid_certificates(datetime.now(UTC))),
        check.inspect_files(files, values.limits.max_connections),
        *check.inspect_interface(interface),
    ]
    try:
        with made(values.redis.address(), values.redis.names()) as redis:
            findings += _redis_findings(values, interface, redis)
    except RedisFailed as error:
        findings.append(Finding("redis", Verdict.FAILED, error.reason))
    return findings


def _redis_findings(values: Settings, interface: Interface, redis: Redis) -> Iterator[Finding]:
    names, address = values.redis.names(), values.redis.address()
    keeps_log = values.delivery.mode == "durable"
    findings = list(
        check.inspect(
            redis,
            located(address, redis),
            compile_routes(interface),
            names,
            values.redis.emitter_channels().patterns,
            keeps_log=keeps_log,
            announces=values.presence.presence_events != "off" or interface.watches,
        )
    )
    yield from findings
    if keeps_log and not check.has_failed(findings):
        count = values.delivery.partitions()
        yield from check.inspect_partitions(redis, names, reaching(address), count)
    if values.listening.peer_port is not None:
        yield from inspect_peers(redis, names)
