"""Gateways: the production process from its open ports on, each on a host of its own."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from constellation_ws.process.lifecycle import Life
from constellation_ws.runtime import listening
from constellation_ws.runtime.last_resort import LastResort
from constellation_ws.settings.settings import Settings, load
from tests.simulation.hosts import Host
from tests.simulation.network import Listening

WS_PORT, TCP_PORT, PEER_PORT = 7000, 7756, 7757


class Pod:
    """One process of the gateway."""

    def __init__(self, host: Host, settings: Mapping[str, object]) -> None:
        self.host = host
        self.began_ms = host.universe.now_ms
        self.exit_code: int | None = None
        self.failure = ""
        """Why it ended by itself."""
        self.is_asked_to_stop = False
        self._settings = _load(frozenset(settings.items()), host.address)
        self.life: Life
        host.begin(self._run())

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def is_alive(self) -> bool:
        return self.exit_code is None and not self.host.is_dead

    @property
    def gateway(self) -> Any:
        """The parts, for measuring. No oracle of clients or publishers looks there."""
        return self.life._gateway

    @property
    def is_ready(self) -> bool:
        """Whether the readiness probe succeeds."""
        if not self.is_alive or self.host.is_paused or not hasattr(self, "life"):
            return False
        return all(check.ok for check in self.gateway.health.ready())

    @property
    def is_recorder(self) -> bool:
        return self.is_alive and hasattr(self, "life") and self.gateway.events.delivery.is_recorder

    @property
    def is_listener(self) -> bool:
        return self.is_alive and hasattr(self, "life") and self.gateway.events.delivery.is_listener

    @property
    def has_all(self) -> bool:
        """Whether it has received all that was published lately, and can record it."""
        if not self.is_listener or self.host.is_paused:
            return False
        delivery = self.gateway.events.delivery
        listens = all(one.listening_seconds is not None for one in delivery._recording._seats)
        return listens and not any(one.unrecorded.has_hole for one in delivery._partitions)

    def lost_count(self) -> float:
        """Give how many losses it has counted; what an operator reads at /metrics."""
        metrics = self.gateway.metrics
        return sum(
            child._value.get()
            for counter in (metrics.log_gaps, metrics.lost_events)
            for child in counter._metrics.values()
        )

    def stop(self) -> None:
        """SIGTERM."""
        self.is_asked_to_stop = True
        handler = self.host.signals.get(signal.SIGTERM)
        if handler is None:
            self.kill()  # before it has a handler, a process ends
        else:
            self.host.call_soon(handler)

    def kill(self) -> None:
        """SIGKILL."""
        self.is_asked_to_stop = True
        self.host.kill()

    async def _run(self) -> None:
        self.life = Life(self._settings, _LastResort(self))
        try:
            self.ended(await self.life.run())
        except asyncio.CancelledError:
            self.ended(1)
        except BaseExceptionGroup as group:
            self.failure = _leaf(group)
            self.ended(1)
        except Exception as error:  # noqa: BLE001 - reported as the end of a process
            self.failure = f"{type(error).__name__}: {error}"
            self.ended(1)

    def ended(self, code: int) -> None:
        """Note that the process has ended."""
        self.exit_code = code
        self.host.call_soon(self.host.kill)


class _LastResort(LastResort):
    """The deadline of stopping, in virtual time."""

    def __init__(self, pod: Pod) -> None:
        super().__init__()
        self._pod = pod
        self._handle: asyncio.TimerHandle | None = None

    def end_in(self, seconds: float, code: int, reason: str) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._pod.host.call_later(seconds, self._end, code, reason)

    def _end(self, code: int, reason: str) -> None:
        if self._pod.exit_code is None:
            self._pod.failure = self._pod.failure or f"forced exit: {reason}"
            self._pod.ended(code)


@contextmanager
def virtual_ports() -> Iterator[None]:
    """Let the gateway listen on hosts instead of on this machine."""
    before = listening._bound

    def bound(family: int, address: tuple[object, ...], *, takes_ipv4: bool = False) -> Any:
        host = asyncio.get_running_loop()
        assert isinstance(host, Host), "only simulated gateways listen here"
        return _Socket(host, int(str(address[1])))

    listening._bound = bound
    try:
        yield
    finally:
        listening._bound = before


class _Socket:
    """What is bound and does not listen yet."""

    def __init__(self, host: Host, port: int) -> None:
        self._address = (host.address, port)

    def getsockname(self) -> tuple[str, int]:
        return self._address

    def dup(self) -> _Socket:
        """Another descriptor of it; simulated connections are accepted as they come."""
        return self

    def close(self) -> None:
        """The server that listens is closed by itself."""

    def __enter__(self) -> _Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def _load_once(settings: frozenset[tuple[str, object]]) -> Settings:
    """Load settings from an environment, which takes 5 ms; worlds start a dozen pods."""
    before = dict(os.environ)
    os.environ.update(
        {
            "WS_PORT": str(WS_PORT),
            "TCP_PORT": str(TCP_PORT),
            "CONSTELLATION_PEER_PORT": str(PEER_PORT),
            "REDIS_URL": "redis://redis:6379/0",
            **{name: str(value) for name, value in settings},
        }
    )
    try:
        return load()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _load(settings: frozenset[tuple[str, object]], address: str) -> Settings:
    """Give the settings of a pod at this address."""
    loaded = _load_once(settings)
    listening = loaded.listening.model_copy(update={"peer_address": address})
    return loaded.model_copy(update={"listening": listening})


def _leaf(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return f"{type(group).__name__}: {group}"


__all__ = ["Listening", "Pod", "virtual_ports"]
