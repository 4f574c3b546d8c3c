"""A backend that takes users out of rooms and puts them into others, all the time.

Nothing that is published after its answer may reach them in a room that they were taken out of, and
all of it has to in one that they were put into, whether they are connected or away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.simulation.clients import VirtualClient
from tests.simulation.hosts import Host
from tests.simulation.population import GIVEN_ROOMS
from tests.simulation.questions import Question, ask

_PAUSE_SECONDS = 2.0
_ANSWER_SECONDS = 8.0
_LOOK_SECONDS = 0.05
_End = Callable[[str, bool], None]
"""Gets the room, and whether the request was answered with success."""


class Backend:
    """Moves one client after the other."""

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
        client, chance = self._chance.choice(self._clients), self._chance
        if chance.random() < 0.5:
            room = chance.choice(sorted({*client.client.rooms, *GIVEN_ROOMS}))
            if client.begin_removal(room):
                self._request("leaveRoom", client, room, client.end_removal)
        else:
            room = chance.choice(GIVEN_ROOMS)
            if client.begin_gift(room):
                self._request("joinRoom", client, room, client.end_gift)
        self._host.call_later(_PAUSE_SECONDS, self._step)

    def _request(self, pattern: str, client: VirtualClient, room: str, end: _End) -> None:
        request: dict[str, object] = {"userId": client.client.user, "roomName": f"chat:{room}"}
        question = Question(pattern, request)
        self._host.begin(ask(self._host, self._choose_pod, question))
        self._look(question, room, end, self._host.time() + _ANSWER_SECONDS)

    def _look(self, question: Question, room: str, end: _End, until: float) -> None:
        if question.is_over or self._host.time() > until:
            end(room, question.is_successful)
        else:
            self._host.call_later(_LOOK_SECONDS, self._look, question, room, end, until)
