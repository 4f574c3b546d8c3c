"""The command line `constellation-ws`: words in, one call each, errors in one sentence.

Exit codes: 0 done; 1 failed, or the answer is no; 2 asked wrongly (arguments, settings, interface);
130 interrupted; 141 the reader of stdout has gone; 143 ended by SIGTERM. Modules are
imported by the command that needs them, so that `--help` and `listen` start at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from constellation_ws import __version__
from constellation_ws.cli import (
    acting_commands,
    client_commands,
    deployment_commands,
    loading,
    table_commands,
)
from constellation_ws.cli.reporting import (
    ASKED_WRONGLY,
    FAILED,
    INTERRUPTED,
    NO_READER,
    complain,
    exit_on,
)

_NAME = "constellation-ws"
_COMPLETE = "_CONSTELLATION_WS_COMPLETE"
"""The variable by which a shell asks for completions, as typer names it."""


class ReaderGone(Exception):
    """Nobody reads stdout any more."""


class _Commands(TyperGroup):
    """The commands, which raise ReaderGone: Typer ends the process with 1 at a BrokenPipeError."""

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Read the words before the command; `--help` writes."""
        with _noticing_the_reader():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command."""
        with _noticing_the_reader():
            return super().invoke(ctx)


@contextmanager
def _noticing_the_reader() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # its tracebacks show local variables, secrets too
    help="A Socket.IO gateway: it delivers events published on Redis to the right browsers. "
    "Settings are environment variables; `check --all` lists them.",
)


@app.command()
def serve() -> None:
    """Run the gateway as in production.

    Logs go to stderr. SIGTERM starts a drain and then a shutdown; a second SIGTERM stops it
    immediately. SIGHUP, as of a terminal that is closed, starts a drain too, except under nohup.
    """
    import structlog

    from constellation_ws.interface.table import InvalidInterface
    from constellation_ws.observability import telemetry
    from constellation_ws.process import main as process
    from constellation_ws.settings import settings

    # Whoever reads the logs must find in them why a pod does not start.
    telemetry.set_up_logs("info", settings.log_format())
    logger = structlog.get_logger(__name__)
    with exit_on(ASKED_WRONGLY, settings.InvalidSettings, InvalidInterface, say=logger.critical):
        values = settings.load()
        telemetry.set_up_logs(values.watching.log_level, values.watching.log_format)
        for unknown in settings.unknown_variables():
            logger.warning("unknown setting", variable=unknown.name, closest=unknown.closest)
        for padded in settings.padded_secrets(values):
            logger.warning("white space around a secret is part of it", variable=padded)
        for line in settings.without_effect(values):
            logger.warning("setting without effect", reason=line)
        for reason in values.invalid_certificates(datetime.now(UTC)):
            logger.error("invalid certificate", reason=reason)
        raise typer.Exit(process.serve(values))


@app.command()
def dev() -> None:
    """Run a local gateway for development.

    It restarts when its source changes, and prints how to connect. It starts its own Valkey unless
    REDIS_URL or REDIS_HOST is set.
    """
    from constellation_ws.cli import dev as development
    from constellation_ws.cli.local import CannotStart

    values = loading.settings_with_warnings()
    with exit_on(FAILED, CannotStart):
        raise typer.Exit(development.develop(values))


@app.command()
def demo() -> None:
    """Show two users who receive an event every second.

    Starts a gateway and a Valkey, like dev, and prints what the clients of the users receive.
    """
    from constellation_ws.cli import demo as show
    from constellation_ws.cli.client import CannotConnect
    from constellation_ws.cli.local import CannotStart

    values = loading.settings_with_warnings()
    with exit_on(FAILED, CannotStart, CannotConnect):
        raise typer.Exit(show.run(values))


app.command()(deployment_commands.check)
app.command()(deployment_commands.status)
app.command()(deployment_commands.users)
app.command()(deployment_commands.who)
app.command()(deployment_commands.tail)
app.command()(acting_commands.publish)
app.command()(acting_commands.send)
app.command()(acting_commands.kick)
app.command()(client_commands.listen)
app.command()(client_commands.doctor)
app.command()(client_commands.bench)
app.command()(table_commands.explain)
app.command()(table_commands.schema)
app.command()(table_commands.size)
app.command()(table_commands.token)


@app.command()
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="The shell.")
    ],
) -> None:
    """Print what makes a shell complete commands and options.

    For bash: constellation-ws completion bash >> ~/.bashrc
    """
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name=_NAME, complete_var=_COMPLETE, shell=shell))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Accept options before the command."""


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _end)
    sys.exit(run(sys.argv[1:]))


def _end(number: int, _: FrameType | None) -> None:
    """End on SIGTERM, where nothing else handles it: `serve` does once it listens, and drains then.

    Without a handler Linux does not deliver it to process 1 of a container: a pod that was deleted
    while it started, or one that runs another command, lived on until its grace period was over.
    Nothing is raised, as by default: an exception that meets a `__del__` is ignored.
    """
    os._exit(128 + number)


def run(arguments: list[str]) -> int:
    """Carry out a command line and give its exit code."""
    if _COMPLETE in os.environ:
        from typer import completion as shells

        shells.completion_init()  # type: ignore[attr-defined]  # not listed, but documented
    try:
        code = app(arguments or ["--help"], prog_name=_NAME, standalone_mode=False) or 0
        sys.stdout.flush()
        return code
    except typer.TyperException as error:
        fault = error.format_message().replace("Value error, ", "").rstrip(".")
        command = getattr(getattr(error, "ctx", None), "command_path", _NAME)
        complain(f"{fault}. See {command} --help.")
        return ASKED_WRONGLY
    except typer.Abort:
        return INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        # What is left in the buffer must not be written at the exit: it would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
