"""A backend that takes users out of rooms, all the time.

Nothing that is published after its answer may reach them there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.clients import VirtualClient
from tests.simulation.hosts import Host
from tests.simulation.questions import Question, ask

_PAUSE_SECONDS = 2.5
_ANSWER_SECONDS = 8.0
_LOOK_SECONDS = 0.05


class Removals:
    """Takes one client after the other out of a room that it is in."""

    def __init__(
        self,
        host: Host,
        clients: Sequence[VirtualClient],
        choose_pod: Callable[[], str],
        chance: Random,
    ) -> None:
        """`choose_pod` gives the address of a pod that takes requests. Raises ConnectionError."""
        self._host = host
        self._clients = clients
        self._choose_pod = choose_pod
        self._chance = chance
        self.is_stopped = False

    def start(self) -> None:
        """Go on until `is_stopped`."""
        self._host.call_later(_PAUSE_SECONDS, self._step)

    def _step(self) -> None:
        if self.is_stopped:
            return
        client = self._chance.choice(self._clients)
        room = self._chance.choice(sorted(client.client.rooms))
        if client.begin_removal(room):
            request: dict[str, object] = {"userId": client.client.user, "roomName": f"chat:{room}"}
            question = Question("leaveRoom", request)
            self._host.begin(ask(self._host, self._choose_pod, question))
            until = self._host.time() + _ANSWER_SECONDS
            self._look(client, room, question, until)
        self._host.call_later(_PAUSE_SECONDS, self._step)

    def _look(self, client: VirtualClient, room: str, question: Question, until: float) -> None:
        if question.is_over or self._host.time() > until:
            client.end_removal(room, is_certain=question.is_successful)
        else:
            self._host.call_later(_LOOK_SECONDS, self._look, client, room, question, until)
