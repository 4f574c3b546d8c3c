"""The settings and the interface table of a command; what cannot be read ends it with a sentence.

Modules are imported when they are needed: `--help` and `listen` need none of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from constellation_ws.cli.reporting import ASKED_WRONGLY, exit_on, warn

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

    from constellation_ws.interface.table import Interface
    from constellation_ws.settings.settings import Settings


def settings() -> Settings:
    """Read the settings from the environment."""
    from constellation_ws.settings import settings as module

    _log_to_stderr()
    with exit_on(ASKED_WRONGLY, module.InvalidSettings):
        return module.load()


def settings_with_warnings() -> Settings:
    """Read the settings; warn of variables without effect, and of white space around secrets."""
    from constellation_ws.settings import settings as module

    values = settings()
    for unknown in module.unknown_variables():
        warn(str(unknown))
    for padded in module.padded_secrets(values):
        warn(f"{padded} begins or ends with white space, which is part of the secret")
    for line in module.without_effect(values):
        warn(line)
    return values


def channels(incomplete: str) -> list[str]:
    """Name the channels of the interface that begin so, for the completion of a shell.

    Says nothing of what cannot be read: a shell shows it in the middle of what is typed.
    """
    from constellation_ws.interface.table import InvalidInterface
    from constellation_ws.settings import settings as module
    from constellation_ws.wiring import interface as tables

    try:
        rows = tables.load(module.load(), requires_keys=False).routes
    except (module.InvalidSettings, InvalidInterface):
        return []
    return [row.channel for row in rows if row.channel.startswith(incomplete)]


def interface(values: Settings, *, requires_keys: bool = True) -> Interface:
    """Read the interface table that the settings name."""
    from constellation_ws.interface.table import InvalidInterface
    from constellation_ws.wiring import interface as module

    with exit_on(ASKED_WRONGLY, InvalidInterface):
        return module.load(values, requires_keys=requires_keys)


def _log_to_stderr() -> None:
    """Keep what parts of the gateway log out of stdout, which is for results.

    Warnings are shown. A command that logs more (`serve`) sets up its own logs.
    """
    import structlog

    if not structlog.is_configured():
        structlog.configure(
            processors=[_drop_below_warning, *structlog.get_config()["processors"]],
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        )


def _drop_below_warning(_: WrappedLogger, level: str, line: EventDict) -> EventDict:
    from structlog import DropEvent

    if level in ("debug", "info"):
        raise DropEvent
    return line
