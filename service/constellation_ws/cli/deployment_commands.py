"""Commands that look into a deployment through its Redis, and change nothing.

They run where the settings of a pod are: in a pod, or beside a Redis that REDIS_URL names. Each
imports what it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from constellation_ws.cli import loading
from constellation_ws.cli.arguments import AsJson, Count, Timeout, User, not_empty
from constellation_ws.cli.reporting import FAILED, complain, exit_on, write_json


def users(
    after: Annotated[str, typer.Option(metavar="USER", help="List the users after this one.")] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="USERS", help="Stop after this many.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List who is online, in the order of the user ids.

    One user a line, and the pods that hold the sockets. Exit code 1 while Redis accepts no writes:
    pods cannot tell it then.
    """
    from itertools import islice

    from constellation_ws.cli import deployment
    from constellation_ws.cli.listen import printable
    from constellation_ws.cli.redis_connection import RedisFailed, connected
    from constellation_ws.cli.refusal import require_writes

    values = loading.settings_with_warnings()
    names, count = values.redis.names(), 0
    with exit_on(FAILED, RedisFailed), connected(values.redis.address(), names) as redis:
        require_writes(redis, names)
        for one in islice(deployment.users(redis, names, after), limit):
            count += 1
            if as_json:
                write_json({"user": one.user, "pods": list(one.pods)})
            else:
                print(f"{printable(one.user)}  {' '.join(one.pods)}")
    complain(f"{count:,} users")


def who(
    user: User,
    show_sessions: Annotated[
        bool,
        typer.Option(
            "--sessions", help="Show each session and the rooms that it joined; it scans Redis."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show whether a user is online, and on which pods.

    Exit code 1 if the user is not online, or if that is not known: while Redis accepts no writes.
    """
    from constellation_ws.cli import deployment, sessions
    from constellation_ws.cli.redis_connection import RedisFailed, connected
    from constellation_ws.cli.refusal import require_writes
    from constellation_ws.messages.events import UserId

    values = loading.settings_with_warnings()
    names, found = values.redis.names(), list[sessions.Session]()
    with exit_on(FAILED, RedisFailed), connected(values.redis.address(), names) as redis:
        require_writes(redis, names)
        pods = deployment.whereabouts(redis, names, UserId(user))
        if show_sessions:
            found = sessions.of_user(redis, names, UserId(user), complain)
    if as_json:
        held = [{"pod": pod.instance, "address": pod.address or None} for pod in pods]
        more = {"sessions": [one.facts() for one in found]} if show_sessions else {}
        write_json({"user": user, "online": bool(pods), "pods": held, **more})
    else:
        where = ", ".join(f"{pod.instance} ({pod.address or 'no address'})" for pod in pods)
        print(f"{user}: online on {where}" if pods else f"{user}: not online")
        for one in found:
            joined = ", ".join(one.rooms) or "no room"
            print(f"  session {one.sid} on {one.pod}, joined {joined}")
    raise typer.Exit(0 if pods else FAILED)


def status(as_json: AsJson = False) -> None:
    """Show the pods, the log and the recorder, and what is wrong.

    Exit code 1 if events are not delivered: no pod, no recorder, or a Redis that is full.
    """
    from constellation_ws.cli import status as overview
    from constellation_ws.cli.redis_connection import RedisFailed, connected, reaching

    values = loading.settings_with_warnings()
    names = values.redis.names()
    with exit_on(FAILED, RedisFailed), connected(values.redis.address(), names) as redis:
        reach = reaching(values.redis.address())
        found = overview.inspect(redis, names, values.delivery.mode, reach)
    problems = list(found.problems())
    if as_json:
        write_json(found.facts())
    else:
        print(found.to_text(), end="\n\n")
        print("\n".join(f"FAILED: {one}" for one in problems) or "ok: events are delivered")
    raise typer.Exit(FAILED if problems else 0)


_OfUser = Annotated[
    str | None,
    typer.Option(metavar="USER", help="Only what addresses this user's room.", callback=not_empty),
]
_OfChat = Annotated[
    str | None,
    typer.Option(metavar="CHAT", help="Only what addresses this chat's room.", callback=not_empty),
]
_OnChannel = Annotated[
    str | None,
    typer.Option(
        metavar="CHANNEL",
        help="Only what came on this channel, or on those of a pattern: 'chat:*'.",
        autocompletion=loading.channels,
        callback=not_empty,
    ),
]


def tail(
    user: _OfUser = None,
    chat: _OfChat = None,
    channel: _OnChannel = None,
    since: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Begin so long ago, as far as the log.")
    ] = 0.0,
    count: Count = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Show events as they pass, and whom each addresses.

    It reads the log, and subscribes to what is not recorded. Pods do not notice. Ctrl-C ends it.
    """
    from constellation_ws.cli import tail_report
    from constellation_ws.cli.listen import Patience
    from constellation_ws.cli.tail import Wanted
    from constellation_ws.messages.events import ChatId, UserId

    values = loading.settings_with_warnings()
    wanted = Wanted(
        None if user is None else UserId(user), None if chat is None else ChatId(chat), channel
    )
    asked = tail_report.Asked(wanted, since, Patience(count, timeout), as_json)
    interface = loading.interface(values, requires_keys=False)
    raise typer.Exit(tail_report.run(values, interface, asked))


def check(
    show_all: Annotated[
        bool, typer.Option("--all", help="Show the settings that have their defaults too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the settings, and test the permissions in Redis.

    The last line is the verdict. The exit code is 1 if a gateway could not work.
    """
    from constellation_ws.cli import check_report

    values = loading.settings()
    interface = loading.interface(values)
    raise typer.Exit(check_report.run(values, interface, shows_defaults=show_all, as_json=as_json))
