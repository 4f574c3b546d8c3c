"""Few pods listen: who stops, who leaves, and who reports what died with a listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from constellation_ws.log import state
from constellation_ws.log.seats import Claim
from constellation_ws.log.state import LeaseReply
from constellation_ws.log.unrecorded import Unrecorded
from constellation_ws.recording import recorder, seat
from constellation_ws.recording.seat import PodSeat
from constellation_ws.redis_io.bus import RedisBus
from tests.simulation.mutations.kinds import Mutation


def leaves_uncovered() -> None:
    """A listener that leaves does not wait until another pod receives what it does."""

    async def leave(self: PodSeat, ask_now: Callable[[], None]) -> bool:
        """Wait for nothing."""
        return False

    PodSeat.hand_over = leave  # type: ignore[method-assign]


def died_unreported() -> None:
    """Nobody reports what a listener had received that has died."""
    note = PodSeat.note

    def trust(self: PodSeat, reply: LeaseReply) -> None:
        note(self, replace(reply, seats=replace(reply.seats, vanished=0)))

    PodSeat.note = trust  # type: ignore[method-assign]


def stops_early() -> None:
    """A listener that stops forgets at once what it has received; also one that records."""
    claim, settle = PodSeat.claim, PodSeat._settle

    def stop_whenever(self: PodSeat, *, may_stop: bool) -> Claim:
        return replace(claim(self, may_stop=may_stop), may_stop=self.is_listener)

    def forget(self: PodSeat) -> None:
        if self._hearing is seat._Hearing.TICKS:
            self._unrecorded.confirm(self._unrecorded.end)
            self._unrecorded.forgive()
        settle(self)

    PodSeat.claim = stop_whenever  # type: ignore[method-assign]
    PodSeat._settle = forget  # type: ignore[method-assign]
    check = "holder ~= claim.pod"
    script = state.REQUEST_LEASE  # type: ignore[attr-defined]
    assert check in script, "the script has changed"
    state.REQUEST_LEASE = script.replace(check, "true")  # type: ignore[attr-defined]


def deaf_leaves() -> None:
    """A listener that leaves says nothing of what a dead subscription may not have brought."""
    left_behind = recorder.left_behind  # type: ignore[attr-defined]

    def trust(unrecorded: Unrecorded, instance: str, *, is_deaf: bool) -> str:
        return str(left_behind(unrecorded, instance, is_deaf=False))

    recorder.left_behind = trust  # type: ignore[attr-defined]


def ends_unread() -> None:
    """A pod closes its subscription without reading what Redis has sent until then."""

    async def end(self: RedisBus, seconds: float) -> bool:
        self.is_retired = True
        if self._current is not None:
            self._current.end()
        return True

    RedisBus.retire = end  # type: ignore[method-assign]


MUTATIONS = (
    Mutation(
        "leaves-uncovered", "a listener leaves before another pod listens", "roll-listeners",
        leaves_uncovered,
    ),
    Mutation(
        "ends-unread", "what Redis has sent until a subscription ends is not read", "stop-all",
        ends_unread,
    ),
    Mutation(
        "died-unreported", "what died with all listeners is not reported", "kill-listeners",
        died_unreported,
    ),
    Mutation(
        "stops-early", "a listener stops that records, or has what others lack",
        "kill-one-pubsub+pause", stops_early,
    ),
    Mutation(
        "deaf-leaves", "a listener leaves and does not say that its subscription was dead",
        "hold-pubsub+roll-listeners", deaf_leaves,
    ),
)  # fmt: skip
