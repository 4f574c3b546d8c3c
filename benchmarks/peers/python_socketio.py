"""The peer that shows python-socketio and uvicorn as their documentation does.

Here lives the part of the gateway's contract that the benchmarks exercise (identity, `join-chat`
and `leave-chat`, the six Redis channels), in the plainest form: an `AsyncServer` under uvicorn,
`emit` to rooms, a redis-py Pub/Sub loop. Nothing of the gateway is imported, no limit or metric is
added.

Environment: WS_PORT (0 = a free port), REDIS_HOST, REDIS_PORT. When clients may come it writes one
JSON line to stderr. `python benchmarks/peers/python_socketio.py` starts it by hand.
"""

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import redis.asyncio
import socketio
import uvicorn

NAMESPACE = "/chats"
# Connections waiting to be accepted; the same for every server that is measured.
BACKLOG = 4096

Source = dict[str, Any]
Ack = dict[str, object]


def of_user(user_id: object) -> str:
    return f"user:{user_id}"


def of_chat(chat_id: object) -> str:
    return f"chat:{chat_id}"


def of_users(user_ids: Iterable[object]) -> list[str]:
    return [of_user(user_id) for user_id in user_ids]


def nobody(_source: Source) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Route:
    """What a channel becomes: the event, the keys it keeps, the rooms it reaches."""

    event: str
    keys: tuple[str, ...]
    rooms: Callable[[Source], list[str]]
    excepted: Callable[[Source], str | None] = nobody
    emptied: Callable[[Source], str | None] = nobody


ROUTES = {
    "chat:newMessage": Route(
        "new-message",
        ("chatId", "messageId", "senderId", "text", "timestamp", "media_type", "media_url"),
        lambda source: [of_user(source["recipientId"]), of_chat(source["chatId"])],
    ),
    "chat:messageRead": Route(
        "message-read",
        ("chatId", "messageIds", "timestamp"),
        lambda source: [of_user(source["userId"])] if source["messageIds"] else [],
    ),
    "chat:typing": Route(
        "user-typing",
        ("chatId", "userId", "isTyping"),
        lambda source: [*of_users(source["participants"]), of_chat(source["chatId"])],
        excepted=lambda source: of_user(source["userId"]),
    ),
    "chat:new": Route(
        "new-chat",
        ("chatId", "withUser", "created_at", "timestamp"),
        lambda source: [of_user(source["userId"])],
    ),
    "chat:deleted": Route(
        "chat-deleted",
        ("chatId", "deletedByUserId", "timestamp"),
        lambda source: [*of_users(source["participants"]), of_chat(source["chatId"])],
        emptied=lambda source: of_chat(source["chatId"]),
    ),
    "user:status": Route(
        "user-status",
        ("userId", "status", "timestamp"),
        lambda source: of_users(source["notifyUsers"]),
    ),
}

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event(namespace=NAMESPACE)
async def connect(sid: str, _environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
    user_id = (auth or {}).get("userId")
    if user_id is None:
        raise socketio.exceptions.ConnectionRefusedError("A user id is needed.")
    await sio.enter_room(sid, of_user(user_id), namespace=NAMESPACE)


async def answer(change: Callable[..., Awaitable[None]], sid: str, request: object) -> Ack:
    chat_id = request.get("chatId") if isinstance(request, dict) else request
    if not isinstance(chat_id, str | int):
        error = {"code": "invalid_chat", "message": "A chat id is needed."}
        return {"success": False, "error": error}
    await change(sid, of_chat(chat_id), namespace=NAMESPACE)
    return {"success": True, "data": {"chatId": str(chat_id)}}


@sio.on("join-chat", namespace=NAMESPACE)
async def join_chat(sid: str, request: object) -> Ack:
    return await answer(sio.enter_room, sid, request)


@sio.on("leave-chat", namespace=NAMESPACE)
async def leave_chat(sid: str, request: object) -> Ack:
    return await answer(sio.leave_room, sid, request)


def sids_in(room: str) -> list[str]:
    return [sid for sid, _ in sio.manager.get_participants(NAMESPACE, room)]


async def deliver(channel: str, text: bytes) -> None:
    route = ROUTES[channel]
    source: Source = json.loads(text)
    rooms = route.rooms(source)
    if not rooms:
        return
    excepted, emptied = route.excepted(source), route.emptied(source)
    payload = {key: source[key] for key in route.keys if key in source}
    skipped = sids_in(excepted) if excepted else None
    await sio.emit(route.event, payload, to=rooms, skip_sid=skipped, namespace=NAMESPACE)
    if emptied:
        await sio.close_room(emptied, namespace=NAMESPACE)


async def relay(pubsub: redis.asyncio.client.PubSub) -> None:
    async for message in pubsub.listen():
        if message["type"] == "message":
            await deliver(message["channel"].decode(), message["data"])


def installed(*names: str) -> str:
    """Names with versions, of those that are installed."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def announce(port: int) -> None:
    parts = installed("python-socketio", "uvicorn", "uvloop", "websockets", "redis", "hiredis")
    made_of = f"{parts}, Python {sys.version.split()[0]}"
    line = {"event": "listening", "ws_port": port, "made_of": made_of}
    print(json.dumps(line), file=sys.stderr, flush=True)


def main() -> None:
    listener = socket.create_server(
        ("127.0.0.1", int(os.environ.get("WS_PORT", "0"))), backlog=BACKLOG
    )
    client = redis.asyncio.Redis(
        host=os.environ.get("REDIS_HOST", "127.0.0.1"),
        port=int(os.environ.get("REDIS_PORT", "6379")),
    )

    async def start() -> None:
        pubsub = client.pubsub()
        await pubsub.subscribe(*ROUTES)
        sio.start_background_task(relay, pubsub)
        announce(listener.getsockname()[1])

    app = socketio.ASGIApp(sio, on_startup=start)
    config = uvicorn.Config(app, log_level="warning", backlog=BACKLOG)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
