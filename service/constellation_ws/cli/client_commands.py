"""Commands that look at a gateway from outside, as its clients do: by its URL."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import Annotated

import typer

from constellation_ws.cli import loading
from constellation_ws.cli.arguments import (
    DEFAULT_URL,
    AsJson,
    ConnectedAs,
    Count,
    GatewayUrl,
    Namespace,
    Timeout,
    Token,
)
from constellation_ws.cli.reporting import (
    ASKED_WRONGLY,
    FAILED,
    complain,
    exit_on,
    write_json,
)


def listen(
    user: ConnectedAs,
    chat: Annotated[
        list[str] | None, typer.Option(metavar="CHAT", help="Chat to join; repeatable.")
    ] = None,
    url: GatewayUrl = DEFAULT_URL,
    token: Token = None,
    as_json: AsJson = False,
    count: Count = None,
    timeout: Timeout = None,
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


def doctor(
    url: GatewayUrl = DEFAULT_URL,
    user: ConnectedAs = "doctor",
    token: Token = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="ORIGIN", help="Page that clients are on: https://app.example.com."),
    ] = None,
    namespace: Namespace = None,
    path: Annotated[
        str, typer.Option(metavar="PATH", help="Path of Socket.IO, as clients have it.")
    ] = "/socket.io/",
    quick: Annotated[
        bool, typer.Option("--quick", help="Hold no connection idle, which takes most of a minute.")
    ] = False,
    drain: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Wait so long for a roll-out, and judge it."),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Find out why clients cannot connect, or do not stay connected.

    Tries from outside what clients do: polling, upgrade, WebSocket, idle times, CORS, TLS, tokens.
    Where REDIS_URL or REDIS_HOST is set, it also publishes and measures the arrival. Without
    --token it signs one if CONSTELLATION_JWT_SECRET is set. Exit code 1 if a finding has FAILED.
    """
    from constellation_ws.cli import client, doctor_report

    with exit_on(ASKED_WRONGLY, client.InvalidUrl):
        address = client.check_url(url)
    values = loading.settings_with_warnings()
    asked = doctor_report.Asked(
        address, path, namespace, user, token, origin, waits_idle=not quick, drain_seconds=drain
    )
    raise typer.Exit(
        doctor_report.run(values, loading.interface(values, requires_keys=False), asked, as_json)
    )


_Rate = Annotated[
    float, typer.Option(min=0.1, metavar="EVENTS", help="Events a second, all together.")
]
_Seconds = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How long to publish.")]


def bench(
    url: GatewayUrl = DEFAULT_URL,
    clients: Annotated[
        int, typer.Option(min=1, metavar="CLIENTS", help="How many clients connect.")
    ] = 100,
    rate: _Rate = 100.0,
    seconds: _Seconds = 10.0,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Measure a deployment with many clients, and events for them.

    It publishes on the Redis of the settings, to users of its own, and prints how soon events
    arrived. With tokens it needs CONSTELLATION_JWT_SECRET. Exit code 1 if an event was lost or
    doubled, or a client was refused.
    """
    from constellation_ws.cli import bench as benching
    from constellation_ws.cli import client, tokens
    from constellation_ws.cli.doctor.target import read_target
    from constellation_ws.cli.redis_connection import RedisFailed, connected

    with exit_on(ASKED_WRONGLY, client.InvalidUrl):
        address = client.check_url(url)
    values = loading.settings_with_warnings()
    name = namespace or loading.interface(values, requires_keys=False).namespaces[0].name
    with (
        exit_on(ASKED_WRONGLY, tokens.NoSecret),
        exit_on(FAILED, RedisFailed, benching.NobodyConnected),
        connected(values.redis.address(), values.redis.names()) as redis,
    ):
        target = read_target(address, "/socket.io/", name, f"bench-{secrets.token_hex(4)}")
        auth_of = partial(tokens.auth_of, values.identity, now_seconds=time.time())
        plan = benching.Plan(clients, rate, seconds)
        report = asyncio.run(benching.Bench(target, plan, redis, auth_of, complain).run())
    if as_json:
        write_json(report.facts())
    else:
        print(report.to_text())
    raise typer.Exit(FAILED if report.has_failed else 0)
