"""What proves that a client has received something."""

from __future__ import annotations

from typing import Any

from constellation_ws.log.places import Place, later
from constellation_ws.log.positions import DeliveryProof, Start, Ticket
from constellation_ws.recovery import missed
from tests.simulation.mutations.kinds import Mutation

_missed: Any = missed


def close_proves() -> None:
    """Our Close frame counts as arrived when it is written."""

    def close_sent(self: Ticket, at: Place) -> None:
        self.proven = later(self.proven, at)
        self.close_sent_at = self.transport_closed_at = at

    Ticket.close_sent = close_sent  # type: ignore[method-assign]
    _trust_server()


def write_proves() -> None:
    """What the kernel has accepted counts as arrived."""

    def pinged(self: Ticket, at: Place) -> None:
        self.pinged_at = self.proven = at

    Ticket.pinged = pinged  # type: ignore[method-assign]
    _trust_server()


def _trust_server() -> None:
    """Resume from what the server believes, also where the client presents less."""

    def resume_from(proof: DeliveryProof, offset: Place | None) -> Start:
        after = later(later(proof.begin, proof.proven), offset or proof.begin)
        return Start(after, after)

    _missed.resume_from = resume_from


def offset_ignored() -> None:
    """A session is resumed from where it was proven, whatever its client has received since."""

    def resume_from(proof: DeliveryProof, offset: Place | None) -> Start:
        return Start(proof.proven, proof.proven)

    _missed.resume_from = resume_from


def unread_trusted() -> None:
    """What this pod has not read yet counts as not sent by the pod that died."""
    confirmed = missed.MissedEvents._confirmed

    async def forget_last(self: missed.MissedEvents) -> tuple[str, Place]:
        epoch, _ = await confirmed(self)
        return epoch, self._logs.delivered

    missed.MissedEvents._confirmed = forget_last  # type: ignore[method-assign]


MUTATIONS = (
    Mutation(
        "close-proves", "a Close frame that is written counts as answered", "stall+roll-all",
        close_proves,
    ),
    Mutation(
        "write-proves", "bytes that the kernel has accepted count as received",
        "stall+silent-clients", write_proves,
    ),
    Mutation(
        "offset-ignored", "the offset that a client presents is ignored", "cut-clients",
        offset_ignored,
    ),
    Mutation(
        "unread-trusted", "what a pod has not read yet counts as not sent by one that died",
        "delay-tail+kill-listeners", unread_trusted,
    ),
)  # fmt: skip
