"""Has other pods close connections whose session has been resumed elsewhere."""

from __future__ import annotations

import functools

from constellation_ws.messages.commands import Fence
from constellation_ws.redis_io.all_pods import AllPods
from constellation_ws.wiring.background_jobs import BackgroundJobs


class Fencing:
    """Does it in the background: a resume does not wait for the command to be sent."""

    def __init__(self, all_pods: AllPods, jobs: BackgroundJobs) -> None:
        self._all_pods = all_pods
        self._jobs = jobs

    def begin(self, sid: str, owner: str) -> None:
        """Send the command, soon. Never waits."""
        fence = Fence(sid, owner)
        self._jobs.put(fence, functools.partial(self._all_pods.send, fence))
