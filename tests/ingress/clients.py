"""The clients behind a proxy: who they are, and that their options are the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos.clients import Client, Kind
from tests.processes import HOST, REPOSITORY

RELEASES_FOLDER = REPOSITORY / "tests" / "ingress" / "js"
RELEASES = (
    "socket.io-client-4-0",
    "socket.io-client-4-4",
    "socket.io-client-4-6",
    "socket.io-client-4-8",
    "socket.io-client",
)
"""As tests/ingress/js/package.json names them; the last is the newest."""
_WITHOUT_RECOVERY = RELEASES[:2]
_IN_A_ROOM = 6


@dataclass(frozen=True, slots=True)
class Member:
    """A client, and the socket.io-client that it is."""

    client: Client
    release: str | None = None
    """None for that of tests/js."""

    @property
    def is_default(self) -> bool:
        return self.client.kind.transport == "upgrading"

    @property
    def options(self) -> dict[str, Any]:
        """What it sets of socket.io-client's options: a default client nothing."""
        return {} if self.is_default else {"transports": ["polling"]}


@dataclass(frozen=True, slots=True)
class Company:
    """All clients of a trial; no other trial on the same pods has their users and rooms."""

    members: Sequence[Member]

    @property
    def users(self) -> list[str]:
        return [member.client.user for member in self.members]

    @property
    def rooms(self) -> list[str]:
        return sorted({room for member in self.members for room in member.client.rooms})

    @property
    def default_count(self) -> int:
        return sum(member.is_default for member in self.members)


def company(name: str, port: int, default: int, polling: int) -> Company:
    """Give clients with default options and such that only poll, of one socket.io-client."""
    kinds = ["upgrading"] * default + ["polling"] * polling
    Random(name).shuffle(kinds)  # rooms have both
    return _company(name, port, ((kind, None) for kind in kinds))


def generations(name: str, port: int, of_each: int) -> Company:
    """Give clients with default options of every release."""
    return _company(name, port, (("upgrading", one) for one in RELEASES * of_each))


def _company(name: str, port: int, wanted: Iterable[tuple[str, str | None]]) -> Company:
    """Put clients into rooms, each into one."""
    members = []
    for number, (transport, release) in enumerate(wanted):
        has_offsets = release not in _WITHOUT_RECOVERY
        kind = Kind(transport, has_offsets=has_offsets, is_original=True)
        client = Client(
            f"{name}-{number}-{release or transport}",
            kind,
            f"{name}-user-{number}",
            (f"{name}-room-{number // _IN_A_ROOM}",),
            f"http://{HOST}:{port}",
        )
        members.append(Member(client, release))
    return Company(members)
