"""`check`, from the settings to the printed tables."""

from __future__ import annotations

from datetime import UTC, datetime

from constellation_ws.cli import check, publish
from constellation_ws.cli.check_peers import inspect_peers
from constellation_ws.cli.reporting import FAILED, exit_on
from constellation_ws.interface.table import Interface
from constellation_ws.runtime import open_files
from constellation_ws.settings import settings
from constellation_ws.settings.settings import Settings
from constellation_ws.wiring.interface import compile_routes


def run(values: Settings, interface: Interface) -> int:
    """Print the settings and what was found, and give the exit code."""
    print(check.to_table(_setting_rows(values)), end="\n\n")
    findings = _findings(values, interface)
    print(check.to_table((one.verdict.value, one.subject, one.detail) for one in findings))
    return FAILED if check.has_failed(findings) else 0


def _setting_rows(values: Settings) -> list[tuple[str, ...]]:
    rows = [
        (one.variable, one.value or "(none)", "default" if one.is_default else "set")
        for one in settings.effective(values)
    ]
    return [("setting", "value", "from"), *rows]


def _findings(values: Settings, interface: Interface) -> list[check.Finding]:
    files = open_files.share(
        open_files.raise_limit(), values.tcp_max_connections, values.api_connections()
    )
    names, address = values.redis_names(), values.redis_address()
    with exit_on(FAILED, publish.CannotPublish), publish.connected(address, names) as redis:
        findings = [
            check.inspect_variables(settings.unknown_variables()),
            check.inspect_certificates(values.invalid_certificates(datetime.now(UTC))),
            check.inspect_files(files, values.max_connections),
            *check.inspect_interface(interface),
            *check.inspect(
                redis,
                values.redis_label(),
                compile_routes(interface),
                names,
                values.emitter_channels().patterns,
                keeps_log=values.delivery == "durable",
                announces=values.presence_events != "off" or interface.watches,
            ),
        ]
        if values.peer_port is not None:
            findings += inspect_peers(redis, names)
    return findings
