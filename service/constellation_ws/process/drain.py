"""The plan of a drain: how many sockets are closed when. Pure; time is an argument."""

from __future__ import annotations

import math


def closed_by(total: int, elapsed_seconds: float, window_seconds: float) -> int:
    """Say how many of `total` sockets are closed once so much of the window has passed.

    Even over the window, so that the pods that take them over see a slope and not a wall.
    """
    if elapsed_seconds >= window_seconds:
        return total
    return min(total, math.ceil(total * elapsed_seconds / window_seconds))
