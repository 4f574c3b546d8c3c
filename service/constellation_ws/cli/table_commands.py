"""Commands that need the settings and the interface table only: nothing is connected to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from constellation_ws.cli import loading
from constellation_ws.cli.arguments import AsJson, Namespace, User
from constellation_ws.cli.reporting import ASKED_WRONGLY, FAILED, exit_on, to_table, write_json

if TYPE_CHECKING:
    from constellation_ws.cli.sizing.load import Bounds
    from constellation_ws.settings.settings import Settings


def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[request] CHANNEL|EVENT JSON",
            help="A channel and an event; or `request`, the name of a client's request and its "
            "argument.",
        ),
    ],
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Show what would become of an event or of a client's request.

    Asks neither Redis nor a backend. The exit code is 1 if it would be dropped or refused.
    """
    from constellation_ws.cli import explain as explainer
    from constellation_ws.wiring.bounds import client_limits

    is_request = len(words) == 3 and words[0] == "request"
    if not is_request and len(words) != 2:
        raise typer.BadParameter("explain requires CHANNEL JSON, or request EVENT JSON")
    values = loading.settings_with_warnings()
    interface = loading.interface(values, requires_keys=False)
    name, payload = words[-2], words[-1].encode(errors="surrogateescape")
    if is_request:
        found = explainer.explain_request(
            interface,
            name,
            payload,
            namespace,
            client_limits(values.limits),
            values.chat_access.mode,
        )
    else:
        found = explainer.explain_event(interface, name, payload, values.limits.max_event_bytes)
    print(found.to_json() if as_json else to_table(found.to_lines()))
    raise typer.Exit(0 if found.is_accepted else FAILED)


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


def token(
    user: User,
    seconds: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long it is valid.")
    ] = 3600.0,
    chat: Annotated[
        list[str] | None,
        typer.Option(metavar="CHAT", help="A chat that it lists; repeatable."),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=JSON", help="A further claim; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a token for a user, to try things with.

    It is signed with CONSTELLATION_JWT_SECRET and has the issuer and the audience of the settings.
    """
    from constellation_ws.cli import tokens

    values = loading.settings_with_warnings()
    with exit_on(ASKED_WRONGLY, tokens.NoSecret, tokens.InvalidClaim):
        claims, now = tokens.read_claims(claim or ()), time.time()
        signed = tokens.sign(values.identity, user, now, seconds, chat, claims)
    if as_json:
        write_json({"token": signed, "user": user, "expiresAt": int(now + seconds)})
    else:
        print(signed)


_Users = Annotated[
    int, typer.Option(metavar="USERS", help="Clients that are connected at the same time.")
]
_Events = Annotated[
    str, typer.Option(metavar="RATE", help="Published events: 500/s, 30000/min, or 500 (a second).")
]
_Recipients = Annotated[
    float, typer.Option(metavar="CLIENTS", help="Connected clients that an event is for.")
]
_Bytes = Annotated[int, typer.Option("--bytes", metavar="BYTES", help="Size of an event.")]
_Window = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="For how long clients can resume; else as the settings."),
]
_Pods = Annotated[
    int | None,
    typer.Option(min=1, max=1000, metavar="PODS", help="Number of pods; suggested if left out."),
]
_Delivery = Annotated[
    Literal["durable", "live"] | None,
    typer.Option(help="How events are delivered; else as the settings."),
]

_Partitions = Annotated[
    int | None,
    typer.Option(
        min=1, max=64, metavar="STREAMS", help="Partitions of the log; else as the settings."
    ),
]
_Listeners = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="PODS", help="Pods that receive from Pub/Sub; else as the settings."
    ),
]
_Packing = Annotated[
    Literal["auto", "off"] | None,
    typer.Option(help="Whether appended events are packed; else as the settings."),
]


def _bounds_of(values: Settings) -> Bounds:
    from constellation_ws.cli.sizing import load

    return load.Bounds(
        values.delivery.log_max_entries,
        values.limits.max_connections,
        values.limits.max_connects_per_second,
        values.limits.max_event_bytes,
    )


def size(
    users: _Users,
    events: _Events,
    recipients: _Recipients = 1.0,
    event_bytes: _Bytes = 300,
    window: _Window = None,
    pods: _Pods = None,
    delivery: _Delivery = None,
    partitions: _Partitions = None,
    listeners: _Listeners = None,
    packing: _Packing = None,
    as_json: AsJson = False,
) -> None:
    """Compute what a deployment needs: pods, CPU, memory, network.

    From unit costs that were measured on one machine and are in docs/scale.md, where each formula
    is explained. Expect to be off by a third. Exit code 1 if the load does not fit.
    """
    from constellation_ws.cli import size_report
    from constellation_ws.cli.sizing import deployment, provision
    from constellation_ws.cli.sizing.load import InvalidLoad, Load, Log, read_rate

    values = loading.settings_with_warnings()
    mode = delivery or values.delivery.mode
    log = Log(
        listeners or values.delivery.log_listeners,
        (partitions or values.delivery.log_partitions) if mode == "durable" else 1,
        (packing or values.delivery.log_packing) == "auto",
    )
    seconds = values.delivery.recovery_window_seconds if window is None else window
    with exit_on(ASKED_WRONGLY, InvalidLoad), exit_on(FAILED, provision.NoNumberOfPods):
        bounds = _bounds_of(values)
        load = Load(users, read_rate(events), recipients, event_bytes, seconds)
        bounds.check(load)
        found = deployment.compute(mode, load, bounds, pods, log)
    if as_json:
        write_json(size_report.facts(found))
    else:
        print(size_report.to_text(found))
    raise typer.Exit(FAILED if found.problems else 0)
