"""This pod's part in recording: a recorder for each partition of the log, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from constellation_ws.delivery.partitioning import Partitioning
from constellation_ws.observability.metrics import Metrics
from constellation_ws.observability.probes import HealthCheck
from constellation_ws.recording.assignment import Assignment, FirstAssignment
from constellation_ws.recording.hold import Hold
from constellation_ws.recording.intake import Intake
from constellation_ws.recording.lease_share import LeaseShare
from constellation_ws.recording.recorder import Recorder
from constellation_ws.recording.retiring import retire
from constellation_ws.recording.seat import PodSeat
from constellation_ws.recording.width import Width
from constellation_ws.redis_io.bus import RedisBus
from constellation_ws.settings.delivery import DeliverySettings
from constellation_ws.wiring.partition import Partition, part_name
from constellation_ws.wiring.readiness import check_recording
from constellation_ws.wiring.resuming import Parts

TRIM_MARGIN_SECONDS = 10.0
"""Retained beyond the window: a client that reconnects at its end still finds the beginning."""
_ALL_PODS = 1_000_000
"""Where the log has several partitions all pods listen: each may have to record one of them."""


class Recording:
    """The recorders of all partitions."""

    def __init__(
        self,
        settings: DeliverySettings,
        bus: RedisBus,
        partitions: Sequence[Partition],
        partitioning: Partitioning,
        metrics: Metrics,
        volatile: frozenset[str],
    ) -> None:
        """What comes on `volatile` channels is delivered live, and not recorded."""
        self._bus = bus
        count = len(partitions)
        self._width, share = Width(partitioning, count), LeaseShare(partitioning)
        hold = Hold(self._width)
        assignments = [
            FirstAssignment(bus, self._width, share, hold),
            *(Assignment(number, bus, self._width, share) for number in range(1, count)),
        ]
        first, listeners = partitions[0], settings.log_listeners if count == 1 else _ALL_PODS
        self._seats = [
            PodSeat(bus, one.log, one.unrecorded, listeners, first.log.state) for one in partitions
        ]
        self._recorders = [
            Recorder(
                bus,
                one.log,
                one.unrecorded,
                seat,
                assignment,
                metrics,
                window_seconds=settings.recovery_window_seconds + TRIM_MARGIN_SECONDS,
                max_events=-(-settings.log_max_entries // count),
                packs_appends=settings.log_packing == "auto",
            )
            for one, seat, assignment in zip(partitions, self._seats, assignments, strict=True)
        ]
        recorded_not = frozenset(channel.encode() for channel in volatile)
        self.intake = Intake(first.names, self._recorders, self._width, hold, recorded_not)

    def parts(self) -> Parts:
        """Give what has to run."""
        recorders = {
            part_name("recorder", number): one.run() for number, one in enumerate(self._recorders)
        }
        return recorders if self._width.is_fixed else {"intake": self.intake.run(), **recorders}

    def readiness(self, grace_seconds: float) -> list[Callable[[], HealthCheck]]:
        """Give what readiness looks at."""

        def check(name: str, recorder: Recorder) -> Callable[[], HealthCheck]:
            return lambda: check_recording(
                name, recorder.fault, grace_seconds, is_admitted=self._width.admitted.is_set()
            )

        return [check(part_name("recording", i), one) for i, one in enumerate(self._recorders)]

    @property
    def is_recorder(self) -> bool:
        """Whether this pod is the one that appends to a partition of the log."""
        return any(one.holds_lease for one in self._recorders)

    @property
    def is_listener(self) -> bool:
        """Whether this pod receives events from Pub/Sub, as the recorder or a candidate for it."""
        return any(one.is_listener for one in self._seats)

    def register(self, metrics: Metrics) -> None:
        """Register what is read at each scrape."""
        recorders = self._recorders
        metrics.register(
            "constellation_recording_blocked",
            "1 while received events cannot be recorded; the log line and /readyz have the reason.",
            lambda: float(any(one.fault.since is not None for one in recorders)),
        )
        metrics.register(
            "constellation_unrecorded_events",
            "Events that this pod has received but not yet seen in the log, in all its partitions.",
            lambda: float(sum(one.unrecorded_events for one in recorders)),
        )
        metrics.register(
            "constellation_packing",
            "1 while this pod is the recorder and packs the events that it appends together into "
            "one entry of the log.",
            lambda: float(any(one.is_packing for one in recorders)),
        )

    async def retire(self) -> None:
        """Record what has come, and let other pods go on."""
        await retire(self._bus, self._recorders)
