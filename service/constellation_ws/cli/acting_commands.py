"""Commands that act on a deployment through its Redis: publish, send, disconnect.

They run where the settings of a pod are: in a pod, or beside a Redis that REDIS_URL names. Each
imports what it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from constellation_ws.cli import loading
from constellation_ws.cli.arguments import AsJson, Namespace, User, not_empty
from constellation_ws.cli.reporting import ASKED_WRONGLY, FAILED, exit_on, warn, write_json

if TYPE_CHECKING:
    from constellation_ws.messages.commands import Emit
    from constellation_ws.settings.settings import Settings


def publish(
    channel: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL",
            help="Redis channel, such as chat:newMessage.",
            autocompletion=loading.channels,
        ),
    ],
    json: Annotated[
        str,
        typer.Argument(metavar="JSON", help="The event; - reads events from stdin, one per line."),
    ],
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Hold back an event that the gateway would drop; exit code 1 for that, and if no "
            "gateway is subscribed.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish events on Redis, as the API does.

    Prints how many gateways received each, except on a Redis Cluster. Without --strict an event
    that no client will receive is published nevertheless, with a warning.
    """
    from constellation_ws.cli import publish_report
    from constellation_ws.observability import telemetry
    from constellation_ws.wiring.interface import compile_routes

    values = loading.settings_with_warnings()
    telemetry.set_up_logs(values.watching.log_level, values.watching.log_format)
    table = compile_routes(loading.interface(values, requires_keys=False))
    raise typer.Exit(
        publish_report.run(values, table, channel, json, is_strict=strict, as_json=as_json)
    )


def send(
    to: Annotated[
        str,
        typer.Argument(
            metavar="USER|ROOM", help="User id; with --room a room's name.", callback=not_empty
        ),
    ],
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Name of the event.")],
    json: Annotated[str, typer.Argument(metavar="JSON", help="Its argument.")],
    room: Annotated[
        bool, typer.Option("--room", help="Send to a room, such as chat:42, not to a user.")
    ] = False,
    namespace: Namespace = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if the user, or everyone, is away.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send an event to a user, or to a room with --room.

    As sendToUser and sendToRoom: it needs no channel in the interface. With the log, who is away
    for a moment gets it after the reconnect.
    """
    from constellation_ws.cli import commanding
    from constellation_ws.cli.redis_connection import RedisFailed, connected, reaching
    from constellation_ws.messages.events import UserId, user_room

    values = loading.settings_with_warnings()
    names, address = values.redis.names(), values.redis.address()
    keeps_log = values.delivery.mode == "durable"
    target = to if room else user_room(UserId(to))
    command = _emission(values, namespace, target, event, json)
    with exit_on(FAILED, RedisFailed), connected(address, names) as redis:
        online = commanding.is_reached(redis, names, command, None if room else UserId(to))
        reach = reaching(address)
        log_id = commanding.send(redis, names, command, keeps_log=keeps_log, reach=reach)
    _show_sent(log_id, online, as_json)
    if not online:
        warn(f"nobody is in {to} now" if room else f"{to} is not online")
    raise typer.Exit(FAILED if strict and not online else 0)


def _emission(values: Settings, namespace: str | None, target: str, event: str, data: str) -> Emit:
    from constellation_ws.cli import commanding
    from constellation_ws.wiring.interface import namespaces_of

    namespaces = namespaces_of(loading.interface(values, requires_keys=False))
    most = values.limits.max_event_bytes
    with exit_on(ASKED_WRONGLY, commanding.InvalidCommand):
        return commanding.emission(namespaces, namespace, target, event, data.encode(), most)


def _show_sent(log_id: str | None, online: bool, as_json: bool) -> None:
    if as_json:
        write_json({"accepted": True, "id": log_id, "online": online})
    else:
        print(f"accepted{f' as {log_id}' if log_id else ''}", flush=True)


def kick(
    user: User,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is in the pods' logs.")] = "",
    as_json: AsJson = False,
) -> None:
    """Disconnect a user: all sockets, on every pod.

    The clients do not reconnect by themselves. Exit code 1 if the user had no socket.
    """
    from constellation_ws.cli import commanding
    from constellation_ws.cli.redis_connection import RedisFailed, connected
    from constellation_ws.messages.events import UserId

    values = loading.settings_with_warnings()
    names = values.redis.names()
    with exit_on(FAILED, RedisFailed), connected(values.redis.address(), names) as redis:
        done = commanding.disconnect(redis, names, UserId(user), reason)
    if as_json:
        write_json({"user": user, "disconnected": done.sockets, "unanswered": done.missing})
    else:
        print(f"{user}: {done.sockets} sockets disconnected")
    if done.missing:
        warn(f"not every pod has answered: {', '.join(done.missing)}; run it again")
    raise typer.Exit(0 if done.sockets else FAILED)
