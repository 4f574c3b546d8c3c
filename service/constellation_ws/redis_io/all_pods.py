"""Commands to all pods, and what each of them answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection

import structlog
from msgspec import Raw

from constellation_ws.messages import commands
from constellation_ws.messages.events import Room, UserId
from constellation_ws.observability.metrics import Metrics
from constellation_ws.redis_io import asking
from constellation_ws.redis_io.ack_collection import AckCollections
from constellation_ws.redis_io.asking import (
    AckAnswer,
    Counted,
    Listed,
    MalformedAnswer,
    Question,
    Reported,
)
from constellation_ws.redis_io.names import Names
from constellation_ws.redis_io.publisher import Publisher

logger = structlog.get_logger(__name__)

ASK_SECONDS = 2.0
"""How long a pod waits for the answers of the others."""


class AllPods:
    """Every pod of the deployment, this one included, as receivers of commands."""

    def __init__(self, publisher: Publisher, metrics: Metrics, names: Names, instance: str) -> None:
        """`instance` is this process's own."""
        self.instance = instance
        self.acks = AckCollections()
        """The events of this pod whose acks are collected."""
        self._publisher = publisher
        self._metrics = metrics
        self._names = names
        self.reply_channel = names.reply(instance)
        """The channel on which this pod receives answers."""
        self._asks = itertools.count(1)
        self._waiting: dict[int, Question] = {}

    async def send(self, command: commands.Command) -> None:
        """Send a command to every pod. Raises RedisUnavailable."""
        await self._publisher.publish(self._names.commands, commands.encode(command))

    async def disconnect(self, who: Room, reason: str, pods: Collection[str]) -> int:
        """Disconnect a room's members on every pod and add up how many there were.

        Waits until all of `pods`, instances that live, have answered; two seconds at most. How many
        subscribers PUBLISH reports is no measure for it: on a Cluster only those of one node.
        Raises RedisUnavailable.
        """
        question = await self._ask(
            pods,
            lambda ask: commands.Disconnect(who, reason, self.reply_channel, ask, wants_name=True),
        )
        return sum(one.count for one in question.answers if isinstance(one, Counted))

    async def list_members(
        self, room: Room, cursor: str, limit: int, pods: Collection[str]
    ) -> tuple[list[UserId], bool]:
        """List the users who are in a room on any pod, and say whether every pod has answered.

        In the order of their ids, those after `cursor`, `limit` at most of each pod: what lies
        behind the first `limit` may lack some. Waits like `disconnect`. Raises RedisUnavailable.
        """
        question = await self._ask(
            pods,
            lambda ask: commands.ListMembers(room, cursor, limit, self.reply_channel, ask),
        )
        listed = [one.users for one in question.answers if isinstance(one, Listed)]
        return sorted(set(itertools.chain(*listed))), question.complete.is_set()

    async def inspect(self, query: Raw, pods: Collection[str]) -> tuple[list[Reported], list[str]]:
        """Ask every pod what an operator wants to see; give their answers, and who gave none.

        Waits like `disconnect`. It may be asked every second, so silence is not logged. Raises
        RedisUnavailable.
        """
        question = await self._ask(
            pods,
            lambda ask: commands.Inspect(query, self.reply_channel, ask),
            is_silence_logged=False,
        )
        reports = [one for one in question.answers if isinstance(one, Reported)]
        return reports, question.missing()

    async def _ask(
        self,
        pods: Collection[str],
        command: Callable[[int], commands.Command],
        *,
        is_silence_logged: bool = True,
    ) -> Question:
        """Send a question, made of its number, to every pod; wait until all have answered."""
        ask = next(self._asks)
        question = self._waiting[ask] = Question(pods)
        try:
            payload = commands.encode(command(ask))
            question.expect(await self._publisher.publish(self._names.commands, payload))
            async with asyncio.timeout(ASK_SECONDS):
                await question.complete.wait()
        except TimeoutError:
            answers, missing = len(question.answers), question.missing()
            log = logger.warning if is_silence_logged else logger.debug
            log("not every pod answered", answers=answers, missing=missing)
        finally:
            del self._waiting[ask]
        return question

    async def answer_disconnect(self, command: commands.Disconnect, count: int) -> None:
        """Answer another pod's `disconnect`. Raises RedisUnavailable."""
        counted = Counted(count, self.instance)
        await self._publisher.publish(
            command.reply_to, asking.write(command.ask, counted, is_named=command.wants_name)
        )

    async def answer_members(self, command: commands.ListMembers, users: list[UserId]) -> None:
        """Answer another pod's `list_members`. Raises RedisUnavailable."""
        listed = Listed(users, self.instance)
        await self._publisher.publish(command.reply_to, asking.write(command.ask, listed))

    async def answer_ack(self, request: commands.AckRequest, answer: AckAnswer) -> None:
        """Report to the pod that collects the acks of an event. Raises RedisUnavailable."""
        payload = asking.write_ack(request.id, answer)
        await self._publisher.publish(request.reply_to, payload)

    async def answer_inspect(self, command: commands.Inspect, report: Raw) -> None:
        """Answer another pod's `inspect`. Raises RedisUnavailable."""
        reported = Reported(self.instance, report)
        await self._publisher.publish(command.reply_to, asking.write(command.ask, reported))

    def receive_answer(self, payload: bytes) -> None:
        """Receive a message of the reply channel; anybody may publish there."""
        try:
            ack = asking.read_ack(payload)
            if ack is not None:
                self.acks.add(*ack)
                return
            ask, answer = asking.read(payload)
        except MalformedAnswer:
            self._metrics.commands.labels("malformed").inc()
            return
        question = self._waiting.get(ask)
        if question is not None:
            question.add(answer)
