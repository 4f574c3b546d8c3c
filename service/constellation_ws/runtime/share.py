"""How connections share the time of the event loop. Pure: times are arguments."""

from __future__ import annotations

from constellation_ws.messages.share import Share

PER_CONNECTION = Share(part=0.05, burst_seconds=0.005)
"""For reading one connection. A message of a megabyte takes 5 ms, and the requests that the limits
permit to a client take less than 1 %; a flood of tiny frames would take all."""
AT_ONCE = Share(part=0.5, burst_seconds=0.00025)
"""For all small reads that do not wait for a turn, so that a thousand connections that each send
a little do not hold the loop together."""

SLICE_SECONDS = 0.0005
"""What all that waits for a turn may use of one turn of the loop..."""
_MOST_SLICE_SECONDS = 0.005
_PART_OF_TURN = 0.25


def slice_seconds(others_seconds: float) -> float:
    """Return how long the work that waits may run in this turn.

    Events wait for it up to three times on their way, so it is short. Where turns are long it gets
    a fifth of the time, as otherwise it would never end.
    """
    return min(max(SLICE_SECONDS, others_seconds * _PART_OF_TURN), _MOST_SLICE_SECONDS)
