"""The command line `constellation-ws`: words in, one call each, errors in one sentence."""

from __future__ import annotations

import sys

import typer

from service import lifecycle, settings, telemetry
from service.routes import InvalidRoutes

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def serve() -> None:
    """Run the gateway in production; everything is set by environment variables."""
    values = _settings()
    telemetry.set_up_logs(values.log_level, values.log_format)
    try:
        raise typer.Exit(lifecycle.serve(values))
    except InvalidRoutes as error:
        _fail(str(error))


@app.command()
def check() -> None:
    """Show the effective settings."""
    _settings()


def main() -> None:
    """Entry point of the console script."""
    app()


def _settings() -> settings.Settings:
    try:
        return settings.load()
    except settings.InvalidSettings as error:
        _fail(str(error))
        raise


def _fail(reason: str) -> None:
    print(reason, file=sys.stderr)
    raise typer.Exit(2)
