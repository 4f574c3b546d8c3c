"""What an operator has pods do: send something to a user or a room, disconnect a user.

It goes the way on which the pods themselves send it for services, so no pod needs to be reached.
Commands that pods answer are answered on a reply channel of this command's own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
from redis import Redis

from constellation_ws.cli import deployment
from constellation_ws.cli.redis_connection import Reach, required, same_redis
from constellation_ws.cli.refusal import refusal
from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.messages import commands, half_pairs
from constellation_ws.messages.commands import Command, Disconnect, Emit, ListMembers
from constellation_ws.messages.events import (
    UNSENDABLE_EVENTS,
    MalformedEvent,
    Room,
    UserId,
    user_room,
)
from constellation_ws.messages.namespaces import Namespaces
from constellation_ws.redis_io import asking
from constellation_ws.redis_io.all_pods import ASK_SECONDS
from constellation_ws.redis_io.asking import Counted, Listed, MalformedAnswer, Reply
from constellation_ws.redis_io.names import Names

_ASK = 1


class InvalidCommand(ValueError):
    """What was asked for cannot be sent; `str()` is a sentence."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The pods' answers, and which pods that live did not answer in time."""

    answers: list[Reply]
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """How many sockets of a user were disconnected, as far as pods have answered."""

    sockets: int
    missing: list[str]


def emission(
    namespaces: Namespaces,
    namespace: str | None,
    room: str,
    event: str,
    data: bytes,
    max_event_bytes: int,
) -> Emit:
    """Make the command that sends one argument to a room. Raises InvalidCommand."""
    namespace = namespace or namespaces.default
    if namespace not in namespaces:
        served = ", ".join(sorted(namespaces.scopes))
        raise InvalidCommand(f"There is no namespace {namespace}; the interface has {served}.")
    if not event or event in UNSENDABLE_EVENTS:
        raise InvalidCommand(f"{event or 'An empty text'} is no event name that clients accept.")
    try:
        argument = half_pairs.read_value(data)
        rooms = namespaces.rooms(namespaces.scope(namespace), [room])
    except msgspec.DecodeError as error:
        raise InvalidCommand(f"The data are not JSON: {error}.") from error
    except MalformedEvent as error:
        raise InvalidCommand(f"{room} is {error}: name it with --namespace.") from error
    command = commands.emit(event, argument, rooms, namespace)
    if (size := len(commands.encode(command))) > max_event_bytes:
        allowed = f"CONSTELLATION_MAX_EVENT_BYTES allows {max_event_bytes:,}"
        raise InvalidCommand(f"The event has {size:,} bytes; {allowed}.")
    return command


def send(
    redis: Redis, names: Names, command: Emit, *, keeps_log: bool, reach: Reach = same_redis
) -> str | None:
    """Send it; give its ID in the log, None where there is no log. Raises RedisFailed.

    It is appended to the partition in which the pods have what concerns its first room, so that it
    keeps its order there. `reach` reaches the partitions but the first.
    """
    payload = commands.encode(command)
    asked: Any = redis
    with required("Redis did not accept the event"):
        if not keeps_log:
            asked.publish(names.commands, payload)
            return None
        number = _partition_of(payload, names, int(asked.hget(names.state, "partitions") or 1))
        holder = names.of_partition(number)
        with reach(redis, holder) if number else nullcontext(redis) as there:
            return _append(there, holder, payload)


def _partition_of(payload: bytes, names: Names, width: int) -> int:
    partitioning = Partitioning()
    partitioning.widen(width)
    return partitioning.find(names.commands.encode(), payload)


def _append(redis: Any, names: Names, payload: bytes) -> str:
    log_id: bytes = redis.xadd(names.log, {"channel": names.commands, "data": payload})
    return log_id.decode()


def disconnect(redis: Redis, names: Names, user: UserId, reason: str) -> Disconnected:
    """Disconnect all sockets of a user on every pod. Raises RedisFailed."""
    reply = _reply_channel(names)
    command = Disconnect(user_room(user), reason, reply, _ASK, wants_name=True)
    found = _ask(redis, names, command, reply)
    count = sum(one.count for one in found.answers if isinstance(one, Counted))
    return Disconnected(count, found.missing)


def members(redis: Redis, names: Names, room: Room, limit: int) -> set[UserId]:
    """List users who are in a room on any pod, `limit` of each pod at most. Raises RedisFailed."""
    reply = _reply_channel(names)
    found = _ask(redis, names, ListMembers(room, "", limit, reply, _ASK), reply)
    return {user for one in found.answers if isinstance(one, Listed) for user in one.users}


def is_reached(redis: Redis, names: Names, command: Emit, user: UserId | None) -> bool:
    """Return whether the user is online, or without one if anybody is in a room of the command.

    Raises RedisFailed.
    """
    if user is not None:
        return len(deployment.whereabouts(redis, names, user)) > 0
    return any(members(redis, names, room, 1) for room in command.rooms or ())


def _ask(redis: Redis, names: Names, command: Command, reply: str) -> Answered:
    """Publish a command, and wait until all pods that live have answered, for two seconds at most.

    A pod that was killed counts as alive for some seconds more. While Redis accepts no writes it is
    not known which live: then whoever answers in time counts.
    """
    known = {pod.instance for pod in deployment.pods(redis, names) if not pod.is_leaving}
    living = None if refusal(redis, names) else known
    asked: Any = redis
    with required("The pods cannot be asked"), asked.pubsub() as replies:
        replies.subscribe(reply)
        replies.get_message(timeout=ASK_SECONDS)  # Redis confirms the subscription
        asked.publish(names.commands, commands.encode(command))
        answers = _answers(replies, living)
    return Answered(answers, sorted(known - {one.pod for one in answers}))


def _answers(replies: Any, living: Collection[str] | None) -> list[Reply]:
    answers: list[Reply] = []
    deadline = time.monotonic() + ASK_SECONDS
    while living is None or {*living} - {one.pod for one in answers}:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        message = replies.get_message(timeout=left, ignore_subscribe_messages=True)
        if message is None:
            continue
        try:
            _, answer = asking.read(message["data"])
        except MalformedAnswer:
            continue  # anybody may publish there
        answers.append(answer)
    return answers


def _reply_channel(names: Names) -> str:
    return names.reply(f"cli-{secrets.token_urlsafe(6)}")
