"""All partitions of the log, for those to whom all of them matter: sessions, and their places."""

from __future__ import annotations

from collections.abc import Sequence

from constellation_ws.log.places import Place, part, place_of
from constellation_ws.log.redis_log import RedisLog


class Logs:
    """This pod's view of every partition of the log."""

    def __init__(self, partitions: Sequence[RedisLog]) -> None:
        """There is at least one; their order is that of their numbers."""
        self.partitions = partitions
        self._first = partitions[0]
        self._is_one = len(partitions) == 1

    def __len__(self) -> int:
        return len(self.partitions)

    @property
    def delivered(self) -> Place:
        """Up to where this pod has delivered."""
        if self._is_one:
            return self._first.delivered
        return place_of(one.delivered for one in self.partitions)

    @property
    def epoch(self) -> str | None:
        """Names of the histories that this pod has delivered without a gap, joined by commas.

        None while one of them is not known: see `RedisLog.epoch`.
        """
        if self._is_one:
            return self._first.epoch
        epochs = [one.epoch for one in self.partitions]
        known = [epoch for epoch in epochs if epoch is not None]
        return ",".join(known) if len(known) == len(epochs) else None

    @property
    def known_epoch(self) -> str:
        """The epochs that this pod knew last, joined by commas; empty where one was never known."""
        known = [one.epochs.known for one in self.partitions]
        return ",".join(epoch or "" for epoch in known) if all(known) else ""

    async def current(self) -> str:
        """Wait until the epochs are known here, and give them as `epoch` does."""
        while (epoch := self.epoch) is None:
            for one in self.partitions:
                if one.epoch is None:
                    await one.moved()
        return epoch

    async def reached(self, place: Place) -> None:
        """Wait until this pod has delivered up to this place, which another one may have before."""
        for number, one in enumerate(self.partitions):
            await one.reached(part(place, number))

    def before(self, milliseconds: int) -> Place:
        """Return the place that this pod had come to so long ago, by the time of each partition."""
        return place_of((one.delivered[0] - milliseconds, 0) for one in self.partitions)


def first_of(epoch: str) -> str:
    """Return the epoch of the first partition: it is where sessions are."""
    return epoch.partition(",")[0]
