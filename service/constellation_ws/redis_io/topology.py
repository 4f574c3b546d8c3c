"""Which Redis is the one to use: fixed, or found by asking Sentinels or the nodes of a Cluster.

Several are asked at the same time, and the report with the highest configuration epoch counts: the
node that answers first may be partitioned from the others and out of date. Lives here: when they
are asked, and who is notified of a change. What they are asked is known to `cluster` and
`sentinel`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import redis
import structlog
from redis.asyncio import Redis
from redis.exceptions import MovedError, ResponseError

from constellation_ws.redis_io.address import Node, label_node
from constellation_ws.redis_io.faults import FAULTS, NO_ANSWER, explain

logger = structlog.get_logger(__name__)

_POLL_SECONDS = 1.0
"""Between two rounds of questions while all is well."""
ASK_SECONDS = 1.0
"""How long an answer is waited for, once there is a connection; a round ends a moment later."""
_ROUND_SECONDS = 1.2
_GRACE_SECONDS = 0.2
"""How long others may answer after the first: a hung one must not delay every connection."""


@dataclass(frozen=True, slots=True)
class TopologyReport:
    """The node that has our data, as one witness reports it."""

    node: Node
    configuration_epoch: int
    """Of the configuration; a failover or a moved slot has a higher one."""
    others: tuple[Node, ...]
    """Whom to ask beside it."""
    owner: str = ""
    """The node's ID, where nodes have one."""
    members: Mapping[str, Node] = field(default_factory=dict)
    """All nodes of a Cluster that have not failed, by ID."""


class NoReport(ValueError):
    """A witness answered and does not know; `str()` says why."""


class Witnesses(Protocol):
    """The nodes or Sentinels that can be asked for the node that has our data."""

    def whom(self, last: TopologyReport | None) -> Sequence[Node]: ...

    async def ask(self, redis: Redis, node: Node) -> TopologyReport: ...

    def describe(self, faults: str) -> str: ...


class MoveListener(Protocol):
    """Holds a connection, and is notified when another node is to be used."""

    def moved(self, node: Node) -> None: ...


class Topology(Protocol):
    """Knows the Redis to use; shared by all who connect to it."""

    is_fixed: bool
    """Whether it is always the same one."""

    async def locate(self) -> Node:
        """Return the Redis to use now. Raises redis.ConnectionError where nobody says."""

    def doubt(self) -> None:
        """Note that a connection failed or was refused: ask again before the next one."""

    def judge(self, error: ResponseError) -> Exception:
        """Note that a Redis does not serve us, and return the error that says so."""

    def listen(self, listener: MoveListener) -> None:
        """Notify a listener of each move, as long as it exists."""

    async def poll(self) -> None:
        """Ask regularly which Redis is to be used, for ever."""


class FixedTopology:
    """One Redis that is always at the same address."""

    is_fixed = True

    def __init__(self, node: Node) -> None:
        self._node = node

    async def locate(self) -> Node:
        return self._node

    def doubt(self) -> None:
        """Its name is looked up again at each connection, which is all that can be done."""

    def judge(self, error: ResponseError) -> Exception:
        if isinstance(error, MovedError):
            return redis.ConnectionError(f"{label_node(self._node)}: {explain(error)}")
        return error

    def listen(self, listener: MoveListener) -> None:
        """It never moves."""

    async def poll(self) -> None:
        await asyncio.Event().wait()


class ReportedTopology:
    """A Redis that witnesses report, asked again and again."""

    is_fixed = False

    def __init__(self, witnesses: Witnesses, connect: Callable[[Node], Redis]) -> None:
        """`connect` makes a client of a witness; nothing connects yet."""
        self._witnesses = witnesses
        self._connect = connect
        self._report: TopologyReport | None = None
        self._is_doubted = True
        self._fault = ""
        self._rounds = 0
        self._lock = asyncio.Lock()
        self._listeners: weakref.WeakSet[MoveListener] = weakref.WeakSet()
        self._poll_clients: dict[Node, Redis] | None = None
        """Connections that `poll` holds; None while it does not run."""

    async def locate(self) -> Node:
        return (await self.report()).node

    async def report(self) -> TopologyReport:
        """Give what is known of the Redis to use. Raises as `locate`."""
        if self._is_doubted:
            rounds = self._rounds
            async with self._lock:
                if self._rounds == rounds:  # else all who waited share the answer, or the lack
                    await self._find()
        if self._report is None:
            raise redis.ConnectionError(self._fault)
        return self._report

    def doubt(self) -> None:
        self._is_doubted = True

    def judge(self, error: ResponseError) -> Exception:
        self.doubt()
        return error

    def listen(self, listener: MoveListener) -> None:
        self._listeners.add(listener)

    async def poll(self) -> None:
        async with self._clients() as clients:
            self._poll_clients = clients
            try:
                while True:
                    await asyncio.sleep(_POLL_SECONDS)
                    await self._look(clients)
            finally:
                self._poll_clients = None

    async def _look(self, clients: dict[Node, Redis]) -> None:
        reports, faults = await self._ask_all(clients, _ROUND_SECONDS)
        report = newest(reports)
        if report is not None and is_news(report, self._report):
            self._accept(report)
        for node in clients.keys() - faults.keys():
            await clients.pop(node).aclose()  # it is not asked any more

    async def _find(self) -> None:
        if self._poll_clients is not None:
            reports, faults = await self._ask_all(self._poll_clients, _GRACE_SECONDS)
        else:
            async with self._clients() as clients:
                reports, faults = await self._ask_all(clients, _GRACE_SECONDS)
        self._rounds += 1
        report = newest(reports)
        if report is not None:
            self._accept(report)
        else:
            told = "; ".join(f"{label_node(node)}: {fault}" for node, fault in faults.items())
            self._fault = self._witnesses.describe(told)
            logger.debug("the Redis primary is unknown", error=self._fault)
        # If nobody answered, the last known one is worth a try.
        self._is_doubted = self._report is None

    async def _ask_all(
        self, clients: dict[Node, Redis], grace_seconds: float
    ) -> tuple[list[TopologyReport], dict[Node, str]]:
        """Ask all side by side; give up on others `grace_seconds` after the first answer."""
        loop = asyncio.get_running_loop()
        reports: list[TopologyReport] = []
        nodes = self._witnesses.whom(self._report)
        faults = dict.fromkeys(nodes, NO_ANSWER)  # until it does

        async def ask(node: Node) -> None:
            if node not in clients:
                clients[node] = self._connect(node)
            try:
                reports.append(await self._witnesses.ask(clients[node], node))
            except (*FAULTS, ValueError, LookupError, TypeError) as error:
                faults[node] = explain(error)  # or an answer of another kind of server
                return
            if not limit.expired():
                limit.reschedule(min(limit.when() or loop.time(), loop.time() + grace_seconds))

        with suppress(TimeoutError):
            async with asyncio.timeout(_ROUND_SECONDS) as limit:
                await asyncio.gather(*map(ask, nodes))
        return reports, faults

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[dict[Node, Redis]]:
        """Hold connections to the witnesses, made as they are asked."""
        clients: dict[Node, Redis] = {}
        try:
            yield clients
        finally:
            for client in clients.values():
                await client.aclose()

    def _accept(self, report: TopologyReport) -> None:
        before, self._report = self._report, report
        if before is None or before.node == report.node:
            return
        self._is_doubted = False
        was, now = label_node(before.node), label_node(report.node)
        epoch = report.configuration_epoch
        logger.warning("the Redis primary has changed", was=was, now=now, epoch=epoch)
        for listener in [*self._listeners]:
            listener.moved(report.node)


def newest(reports: Sequence[TopologyReport]) -> TopologyReport | None:
    """Choose a report: the highest configuration epoch; among equals what most report."""
    nodes = [report.node for report in reports]
    return max(
        reports,
        key=lambda report: (report.configuration_epoch, nodes.count(report.node)),
        default=None,
    )


def is_news(report: TopologyReport, last: TopologyReport | None) -> bool:
    """Return whether to act on a report although nothing is wrong with the node that is in use.

    A witness that was partitioned, or has restarted, may name an old primary with an old epoch.
    """
    return (
        last is None
        or report.node == last.node
        or report.configuration_epoch > last.configuration_epoch
    )
