"""The world of the journey tests: Valkey, two pods, JavaScript clients, a publisher.

Lives here: fixtures and who shares what. Processes are shared by all tests of a worker, so every
test uses users and chats of its own (`mine`), and whoever breaks a process brings its own.
"""

import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.browsing import Browser, browsing
from tests.journey.publishing import Publisher
from tests.js_clients import JsClient, JsClients, NodeHost, running_node
from tests.processes import Gateway, Valkey, running_valkey, started_gateway
from tests.tokens import SECRET, token_of

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gateways run in processes of their own here. What a test's own client leaves to the garbage
    collector is found in any later test, and is no fault of that one."""
    ignored = pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(ignored)


STARTED = pytest.StashKey[list[Gateway]]()
LOG_LINES_SHOWN = 60
# What users of these tests write, as it stands in a log line of JSON; test_tracing plants its own.
WRITTEN = [json.dumps(text)[1:-1] for text in ("Привет", "very secret", "joined again")]
WRITTEN.append("eyJ")  # how every token begins

BOTH_MODES = pytest.mark.parametrize("auth_mode", ["trusted", "jwt"], indirect=True)
"""For tests of the contract: with clients that are believed, and with clients that bring tokens."""
WITH_TOKENS = {"CONSTELLATION_AUTH_MODE": "jwt", "CONSTELLATION_JWT_SECRET": SECRET}

StartGateway = Callable[..., AbstractAsyncContextManager[Gateway]]
"""`start(redis_url, **settings)`: a gateway that takes traffic, unless `is_awaited` is False."""


@dataclass(frozen=True, slots=True)
class Pods:
    """Two gateways on one Valkey."""

    a: Gateway
    b: Gateway

    def __iter__(self) -> Iterator[Gateway]:
        return iter((self.a, self.b))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, where a test failed, what the gateways of that time have logged."""
    report = yield
    if report.failed:
        for gateway in item.config.stash.get(STARTED, []):
            if gateway.ended_at is None or gateway.ended_at >= call.start:
                title = f"log of the gateway on port {gateway.ws_port}"
                report.sections.append((title, "\n".join(gateway.lines()[-LOG_LINES_SHOWN:])))
    return report


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """The Valkey that a worker's tests share. Nobody stops it."""
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey for one test, which decides which pods there are, and what Redis does."""
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture(scope="session")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Name a new log file at each call."""
    folder, numbers = tmp_path_factory.mktemp("gateways"), itertools.count(1)
    return lambda: folder / f"{next(numbers)}.log"


@pytest.fixture(scope="session")
def gateway(log_path: Callable[[], Path], pytestconfig: pytest.Config) -> Iterator[StartGateway]:
    """Start gateways, each for the length of an `async with`.

    At the end of all tests none of them may have logged what was written in any.
    """
    gateways = pytestconfig.stash.setdefault(STARTED, [])

    @asynccontextmanager
    async def start(
        redis_url: str, *, is_awaited: bool = True, **settings: Any
    ) -> AsyncIterator[Gateway]:
        async with started_gateway(log_path(), redis_url, **settings) as started:
            gateways.append(started)
            try:
                if is_awaited:
                    await started.ready()
                yield started
            finally:
                started.ended_at = time.time()

    yield start
    for one in gateways:
        assert [line for line in one.lines() if any(text in line for text in WRITTEN)] == []


@pytest.fixture(scope="session")
def auth_mode(request: pytest.FixtureRequest) -> str:
    """How clients prove who they are; see BOTH_MODES."""
    return str(getattr(request, "param", "trusted"))


@pytest.fixture
def pods(request: pytest.FixtureRequest, auth_mode: str) -> Pods:
    """The two pods that most tests share."""
    pods: Pods = request.getfixturevalue(f"{auth_mode}_pods")
    return pods


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def trusted_pods(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Pods]:
    """Two pods that believe their clients."""
    async with _two_pods(valkey, gateway, {}) as pods:
        yield pods


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def jwt_pods(valkey: Valkey, gateway: StartGateway) -> AsyncIterator[Pods]:
    """Two pods that ask for tokens."""
    async with _two_pods(valkey, gateway, WITH_TOKENS) as pods:
        yield pods


@asynccontextmanager
async def _two_pods(
    valkey: Valkey, gateway: StartGateway, settings: Mapping[str, str]
) -> AsyncIterator[Pods]:
    """Two pods on the shared Valkey. At the end they must leave cleanly."""
    async with gateway(valkey.url, **settings) as a, gateway(valkey.url, **settings) as b:
        yield Pods(a, b)
        for pod in (a, b):
            assert await pod.terminate() == 0
            assert pod.stray_lines() == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node() -> AsyncIterator[NodeHost]:
    """The Node process that hosts the clients of a worker's tests."""
    async with running_node() as host:
        yield host


@pytest_asyncio.fixture(loop_scope="session")
async def js(node: NodeHost, auth_mode: str) -> AsyncIterator[JsClients]:
    """The JavaScript clients of one test."""
    clients = JsClients(node, _with_token if auth_mode == "jwt" else None)
    yield clients
    clients.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def witness(target: Gateway, node: NodeHost) -> AsyncIterator[JsClient]:
    """A client of the `target` of a file, who must not notice anything of what is done to it."""
    clients = JsClients(node)
    yield await clients.connect(target.chats_url, user="witness")
    clients.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def publish(valkey: Valkey) -> AsyncIterator[Publisher]:
    """The API's side of the shared Valkey."""
    async with Redis.from_url(valkey.url) as redis:
        yield Publisher(redis)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _chromium() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def browser(_chromium: Browser) -> AsyncIterator[Browser]:
    """The browser that a worker's tests share, without any window yet."""
    yield _chromium
    await _chromium.close_tabs()


@pytest.fixture
def mine(request: pytest.FixtureRequest, _numbers: Iterator[int]) -> str:
    """A suffix that makes this test's users and chats its own, on every worker."""
    worker: Any = getattr(request.config, "workerinput", {})
    return f"-{worker.get('workerid', 'main')}-{next(_numbers)}"


def _with_token(user: object) -> Mapping[str, object]:
    return {"token": token_of(user)}


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)
