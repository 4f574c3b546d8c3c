"""The command line `constellation-ws`: words in, one call each, errors in one sentence.

Exit codes: 0 done, 1 failed, 2 asked wrongly (arguments, settings, interface), 130 interrupted.
Modules are imported by the command that needs them, so that `--help` and `listen` start at once.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from constellation_ws import __version__
from constellation_ws.cli import loading
from constellation_ws.cli.reporting import (
    ASKED_WRONGLY,
    FAILED,
    INTERRUPTED,
    complain,
    exit_on,
    warn,
)

_NAME = "constellation-ws"

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # its tracebacks show local variables, secrets too
    help="A Socket.IO gateway: it delivers events published on Redis to the right browsers. "
    "Settings are environment variables; `check` lists them.",
)


@app.command()
def serve() -> None:
    """Run the gateway as in production.

    Logs go to stderr. SIGTERM starts a drain and then a shutdown; a second SIGTERM stops it
    immediately.
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
        telemetry.set_up_logs(values.log_level, values.log_format)
        for unknown in settings.unknown_variables():
            logger.warning("unknown setting", variable=unknown.name, closest=unknown.closest)
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


@app.command()
def publish(
    channel: Annotated[
        str, typer.Argument(metavar="CHANNEL", help="Redis channel, such as chat:newMessage.")
    ],
    json: Annotated[
        str,
        typer.Argument(metavar="JSON", help="The event; - reads events from stdin, one per line."),
    ],
) -> None:
    """Publish events on Redis, as the API does.

    Prints how many gateways received each, except on a Redis Cluster. An event that no client will
    receive is published nevertheless, with a warning.
    """
    from constellation_ws.cli import publish as publisher
    from constellation_ws.observability import telemetry
    from constellation_ws.wiring.interface import compile_routes

    values = loading.settings_with_warnings()
    telemetry.set_up_logs(values.log_level, values.log_format)
    table = compile_routes(loading.interface(values, requires_keys=False))
    with (
        exit_on(FAILED, publisher.CannotPublish),
        publisher.connected(values.redis_address(), values.redis_names()) as redis,
        telemetry.traces() as tracing,
    ):
        publications = publisher.publish(
            redis,
            table,
            ((channel, event) for event in publisher.events(json)),
            tracing,
            counts_all=publisher.counts_all(values.redis_address()),
            max_event_bytes=values.max_event_bytes,
        )
        for published in publications:
            print(publisher.receipt(published), flush=True)
            if published.doubt:
                warn(published.doubt)


_Chats = Annotated[list[str] | None, typer.Option(metavar="CHAT", help="Chat to join; repeatable.")]
_Token = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", help="The user's token, if the gateway requires one."),
]
_Count = Annotated[
    int | None, typer.Option(min=1, metavar="EVENTS", help="Stop after this many events.")
]
_Timeout = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Stop after this time; exit code 1 if --count is not reached.",
    ),
]


@app.command()
def listen(
    user: Annotated[str, typer.Option(metavar="USER", help="User id to connect as.")],
    chat: _Chats = None,
    url: Annotated[
        str, typer.Option(metavar="URL", help="URL of the gateway.")
    ] = "http://localhost:7000",
    token: _Token = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
    count: _Count = None,
    timeout: _Timeout = None,
) -> None:
    """Print the events that a user receives.

    Connects like a web client, and reconnects when the connection is lost. Events go to stdout, one
    per line; the state of the connection goes to stderr.
    """
    from constellation_ws.cli import client
    from constellation_ws.cli import listen as listener
    from constellation_ws.messages.events import ChatId, UserId

    with exit_on(ASKED_WRONGLY, client.InvalidUrl):
        address = client.check_url(url)
    chats = [ChatId(one) for one in chat or ()]
    patience = listener.Patience(count, timeout)
    write = listener.to_json if as_json else listener.to_line
    with exit_on(FAILED, client.CannotConnect, listener.TooFewEvents):
        asyncio.run(listener.listen(address, UserId(user), chats, patience, write, token))


@app.command()
def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[request] CHANNEL|EVENT JSON",
            help="A channel and an event; or `request`, the name of a client's request and its "
            "argument.",
        ),
    ],
    namespace: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE", help="Namespace of the request; the first of the interface."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what would become of an event or of a client's request.

    Asks neither Redis nor a backend. The exit code is 1 if it would be dropped or refused.
    """
    from constellation_ws.cli import explain as explainer
    from constellation_ws.cli.check import to_table
    from constellation_ws.wiring.bounds import client_limits

    is_request = len(words) == 3 and words[0] == "request"
    if not is_request and len(words) != 2:
        raise typer.BadParameter("explain requires CHANNEL JSON, or request EVENT JSON")
    values = loading.settings_with_warnings()
    interface = loading.interface(values, requires_keys=False)
    name, payload = words[-2], words[-1].encode(errors="surrogateescape")
    if is_request:
        found = explainer.explain_request(
            interface, name, payload, namespace, client_limits(values), values.chat_access
        )
    else:
        found = explainer.explain_event(interface, name, payload, values.max_event_bytes)
    print(found.to_json() if as_json else to_table(found.to_lines()))
    raise typer.Exit(0 if found.is_accepted else FAILED)


@app.command()
def check() -> None:
    """Show the settings, and test the permissions in Redis.

    The exit code is 1 if a gateway could not work.
    """
    from constellation_ws.cli import check_report

    values = loading.settings()
    raise typer.Exit(check_report.run(values, loading.interface(values)))


@app.command()
def schema(
    asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="AsyncAPI 3: Socket.IO, Redis and TCP.")
    ] = False,
    typescript: Annotated[
        bool, typer.Option("--typescript", help="Types for socket.io-client.")
    ] = False,
    openapi: Annotated[bool, typer.Option("--openapi", help="OpenAPI 3.1: the HTTP API.")] = False,
) -> None:
    """Print the interface for machines.

    It is made from the interface table that the settings name. Exactly one of the options is
    required.
    """
    from constellation_ws.cli import schema as printer

    with exit_on(ASKED_WRONGLY, printer.NotOne):
        kind = printer.choose(asyncapi=asyncapi, typescript=typescript, openapi=openapi)
    values = loading.settings()
    print(printer.document(kind, values, loading.interface(values, requires_keys=False)), end="")


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
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Carry out a command line and give its exit code."""
    try:
        return app(arguments or ["--help"], prog_name=_NAME, standalone_mode=False) or 0
    except typer.TyperException as error:
        complain(f"{error.format_message().rstrip('.')}. See {_NAME} --help.")
        return ASKED_WRONGLY
    except typer.Abort:
        return INTERRUPTED
