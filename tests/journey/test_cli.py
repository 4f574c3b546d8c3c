"""The command line with real processes: events come and go, and everything that starts ends."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import socketio
from redis.asyncio import Redis

from constellation_ws.cli import check as inspection
from constellation_ws.cli.redis_connection import connected
from constellation_ws.messages import commands
from constellation_ws.messages.events import UserId, user_room
from constellation_ws.messages.redis_emitter import DEFAULT_EMITTERS
from constellation_ws.redis_io.names import DEFAULT
from tests.command_lines import Done, Terminal
from tests.journey.conftest import Pods, StartGateway
from tests.journey.publishing import Publisher
from tests.processes import HOST, REPOSITORY, Valkey, running_valkey, unused_port
from tests.tables import compiled
from tests.tokens import token_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def status(user: str, said: str = "online") -> str:
    event = {"userId": "alice", "status": said, "notifyUsers": [user], "timestamp": 1}
    return json.dumps(event, ensure_ascii=False)


@asynccontextmanager
async def acl_user(valkey: Valkey, name: str, rules: str) -> AsyncIterator[str]:
    """The Valkey's URL for a user who may do what the rules say."""
    async with Redis.from_url(valkey.url) as redis:
        await redis.execute_command("ACL", "SETUSER", name, "on", ">hunter2", *rules.split())
        try:
            yield f"redis://{name}:hunter2@{HOST}:{valkey.port}/0"
        finally:
            await redis.execute_command("ACL", "DELUSER", name)


async def gateways(valkey: Valkey) -> int:
    """How many listen on the Valkey that the tests of a worker share: those of other modes too."""
    async with Redis.from_url(valkey.url) as redis:
        ((_, count),) = await redis.pubsub_numsub("user:status")
    return int(count)


def documented_privileges() -> str:
    """The documented rules for an ACL user, without its name and password."""
    page = (REPOSITORY / "docs/reference/settings.md").read_text("utf-8")
    (rules,) = re.findall(r"^ACL SETUSER \w+ on >\w+ ([^`]+)", page, re.MULTILINE)
    return str(rules)


def assert_one_clear_line(done: Done, code: int, *parts: str) -> None:
    assert done.code == code, done
    (line,) = done.err.splitlines()
    for part in parts:
        assert part in line
    assert "hunter2" not in done.out + done.err


# --- listen and publish --------------------------------------------------------------------------


async def test_what_is_published_is_what_the_listener_prints(
    terminal: Terminal, pods: Pods, valkey: Valkey, mine: str
) -> None:
    user, chat = f"bob{mine}", f"c{mine}"
    listening = terminal.start(
        *("listen", "--user", user, "--chat", chat, "--url", pods.a.http_url),
        *("--json", "--count", "2", "--timeout", "30"),
    )
    await listening.says(f"connected as {user}, in chat {chat}")

    one = await terminal.run(*("publish", "user:status", status(user, "был 👋")), redis=valkey.url)
    event = {"chatId": chat, "messageId": 9007199254740993, "text": "", "senderId": "alice"}
    two = await terminal.run(*("publish", "chat:newMessage", json.dumps(event)), redis=valkey.url)

    for done in (one, two):
        assert (done.code, done.err) == (0, ""), done
    assert one.out == f"user:status: received by {await gateways(valkey)} gateways\n"
    heard = await listening.ended()
    assert heard.code == 0
    events = [json.loads(line) for line in heard.out.splitlines()]
    assert [(each["user"], each["event"]) for each in events] == [
        (user, "user-status"),
        (user, "new-message"),
    ]
    assert events[0]["data"] == {"userId": "alice", "status": "был 👋", "timestamp": 1}
    assert events[1]["data"] == event


async def test_a_listener_shows_its_token_where_the_gateway_asks_for_one(
    terminal: Terminal, jwt_pods: Pods, valkey: Valkey, mine: str
) -> None:
    user = f"bob{mine}"
    command = ("listen", "--user", user, "--url", jwt_pods.a.http_url, "--count", "1")

    refused = await terminal.run(*command)
    assert refused.code == 1
    assert f"refused user {user}: unauthorized" in refused.err

    listening = terminal.start(*command, "--token", token_of(user))
    await listening.says(f"connected as {user}\n")
    await terminal.run("publish", "user:status", status(user, "here"), redis=valkey.url)
    assert (await listening.ended()).code == 0


async def test_people_get_one_line_an_event_and_it_cannot_drive_their_terminal(
    terminal: Terminal, pods: Pods, publish: Publisher, mine: str
) -> None:
    user = f"bob{mine}"
    listening = terminal.start("listen", "--user", user, "--url", pods.a.http_url, "--count", "1")
    await listening.says(f"connected as {user}\n")

    await publish("user:status", status(user, "Привет \x9b2J\x7f"))

    heard = await listening.ended()
    assert heard.out.endswith(
        '  user-status   {"userId": "alice", "status": "Привет \\x9b2J\\x7f", "timestamp": 1}\n'
    )
    assert heard.code == 0


async def test_a_stream_of_lines_is_published_in_order_and_blank_ones_are_not(
    terminal: Terminal, pods: Pods, valkey: Valkey, mine: str
) -> None:
    user = f"bob{mine}"
    listening = terminal.start(
        "listen", "--user", user, "--url", pods.b.http_url, "--count", "3", "--json"
    )
    await listening.says("connected as")
    lines = "\n".join(["", status(user, "1"), status(user, "2"), "  ", status(user, "3")])

    done = await terminal.run("publish", "user:status", "-", redis=valkey.url, stdin=lines.encode())

    assert (done.code, done.err) == (0, "")
    assert done.out == f"user:status: received by {await gateways(valkey)} gateways\n" * 3
    heard = [
        json.loads(line)["data"]["status"] for line in (await listening.ended()).out.splitlines()
    ]
    assert heard == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("channel", "event", "warning"),
    [
        ("chat:mew", "{}", "unknown channel"),
        ("user:status", "{", "not JSON"),
        ("user:status", "{}", "lacks the keys that name its recipients"),
    ],
)
async def test_a_doubtful_event_is_published_with_a_warning(
    channel: str, event: str, warning: str, terminal: Terminal, pods: Pods, valkey: Valkey
) -> None:
    done = await terminal.run("publish", channel, event, redis=valkey.url)

    assert done.code == 0
    assert done.out.startswith(f"{channel}: received by ")
    (line,) = done.err.splitlines()
    assert line.startswith("warning: ")
    assert warning in line


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
async def test_an_event_that_nobody_hears_is_told(
    options: tuple[str, ...], code: int, terminal: Terminal
) -> None:
    # Pub/Sub knows no databases, so a Valkey that others share has subscribers: ask for one's own.
    with running_valkey() as own:
        command = ("publish", "user:status", status("bob"), *options)
        done = await terminal.run(*command, redis=own.url)

    assert done.code == code
    assert done.out == "user:status: received by 0 gateways\n"
    assert done.err == "warning: no gateway is subscribed to this Redis\n"


async def test_publishing_without_a_redis_fails_in_a_sentence(terminal: Terminal) -> None:
    done = await terminal.run("publish", "user:status", status("bob"))

    assert_one_clear_line(done, 1, "Connection refused")


async def test_a_listener_hears_on_after_its_gateway_has_been_replaced(
    terminal: Terminal, gateway: StartGateway, valkey: Valkey, publish: Publisher, mine: str
) -> None:
    user, chat, port = f"bob{mine}", f"c{mine}", unused_port()
    async with gateway(valkey.url, WS_PORT=port) as first:
        listening = terminal.start(
            *("listen", "--user", user, "--chat", chat, "--url", first.http_url),
            *("--count", "1", "--json"),
        )
        await listening.says("connected as")
        assert await first.terminate() == 0
    await listening.says("connection lost")

    async with gateway(valkey.url, WS_PORT=port):
        await listening.says(f"connected as {user}, in chat {chat}", times=2)
        await publish("chat:deleted", {"chatId": chat, "participants": []})

        done = await listening.ended()

    assert done.code == 0
    assert json.loads(done.out)["event"] == "chat-deleted"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--user", ""), "invalid_user"),
        (("--user", "x" * 1_000), "invalid_user"),
        (("--user", "bob", "--chat", "c" * 1_000), "invalid_chat"),
    ],
)
async def test_a_refusal_is_told_with_its_code(
    arguments: tuple[str, ...], code: str, terminal: Terminal, pods: Pods
) -> None:
    done = await terminal.run("listen", *arguments, "--url", pods.a.http_url)

    assert_one_clear_line(done, 1, code)
    assert done.out == ""


async def test_a_gateway_that_is_not_there_is_told(terminal: Terminal) -> None:
    done = await terminal.run("listen", "--user", "bob", "--url", f"http://{HOST}:1")

    assert_one_clear_line(done, 1, f"http://{HOST}:1", "connection refused")


async def test_a_port_that_speaks_something_else_is_told(
    terminal: Terminal, valkey: Valkey
) -> None:
    done = await terminal.run("listen", "--user", "bob", "--url", f"http://{HOST}:{valkey.port}")

    assert_one_clear_line(done, 1, f"http://{HOST}:{valkey.port}")


async def test_a_user_who_is_disconnected_for_good_is_told(
    terminal: Terminal, pods: Pods, valkey: Valkey, mine: str
) -> None:
    user = f"bob{mine}"
    listening = terminal.start("listen", "--user", user, "--url", pods.a.http_url)
    await listening.says("connected as")

    async with Redis.from_url(valkey.url) as redis:
        command = commands.Disconnect(user_room(UserId(user)))
        await redis.publish(DEFAULT.commands, commands.encode(command))

    done = await listening.ended()
    assert done.code == 1
    assert "disconnected" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


async def test_too_few_events_fail_and_time_alone_does_not(terminal: Terminal, pods: Pods) -> None:
    asked = ("listen", "--user", "nobody", "--url", pods.a.http_url, "--timeout", "0.2")

    expected, patient = await terminal.run(*asked, "--count", "2"), await terminal.run(*asked)

    assert expected.code == 1
    assert expected.err.splitlines()[-1] == "received 0 of 2 events within 0.2 s."
    assert (patient.code, len(patient.err.splitlines())) == (0, 1)


async def test_a_listener_is_interrupted_without_a_traceback(
    terminal: Terminal, pods: Pods
) -> None:
    listening = terminal.start("listen", "--user", "bob", "--url", pods.a.http_url)
    await listening.says("connected as")

    done = await listening.interrupted()

    assert done.code == 130
    assert done.err == "connected as bob\n"


async def test_every_argument_of_an_event_is_shown_binary_ones_too(
    terminal: Terminal, pods: Pods, valkey: Valkey, mine: str
) -> None:
    user = f"bob{mine}"
    command = ("listen", "--user", user, "--url", pods.a.http_url, "--count", "2")
    people, program = terminal.start(*command), terminal.start(*command, "--json")
    for listening in (people, program):
        await listening.says(f"connected as {user}\n")
    emitter = socketio.AsyncRedisManager(valkey.url, write_only=True)

    for values in (({"a": 1}, "two"), b"\x00\xff"):
        await emitter.emit("file", values, room=f"user:{user}", namespace="/chats")

    shown, read = await people.ended(), await program.ended()
    await emitter.redis.aclose()
    assert [line.partition("file")[2].strip() for line in shown.out.splitlines()] == [
        '{"a": 1} "two"',
        '{"base64": "AP8="}',
    ]
    assert [json.loads(line)["arguments"] for line in read.out.splitlines()] == [
        [{"a": 1}, "two"],
        [{"base64": "AP8="}],
    ]
    assert (shown.code, read.code) == (0, 0)


# --- check ---------------------------------------------------------------------------------------


async def test_check_approves_of_a_redis_that_permits_everything(
    terminal: Terminal, valkey: Valkey
) -> None:
    done = await terminal.run("check", redis=valkey.url, CONSTELLATION_LOGLEVEL="info")

    assert (done.code, done.err) == (0, "")
    assert "REDIS_URL" in done.out
    assert "(set, not shown)" in done.out
    assert "TCP_PORT" in done.out, "set by the test"
    assert "WS_HOST" not in done.out, "a default: --all shows it"
    assert done.out.splitlines()[-1].startswith("ok: a gateway would work")
    assert "did you mean CONSTELLATION_LOG_LEVEL?" in done.out
    assert "FAILED" not in done.out
    for permitted in ("chat:newMessage", "constellation:commands", "ZRANGEBYLEX", "XREAD", "HMGET"):
        assert permitted in done.out


@pytest.mark.parametrize(
    ("rules", "subject", "says"),
    [
        ("+@all ~* resetchannels &constellation:* &chat:*", "subscribe", "user:status socketio"),
        ("+@all ~* resetchannels &constellation:* &chat:*", "publish events", "user:status"),
        ("+@all -zadd ~* &*", "presence", "zadd"),
        ("+@all ~other:* &*", "presence", "ZADD EXPIRE"),
        ("+@all -subscribe ~* &*", "subscribe", "subscribe"),
        ("+@all ~constellation:* &*", "log", "HSET HGET HMGET"),
        ("+@all ~{constellation:events}:* &*", "log", "XADD constellation:events"),
        ("+@all -xread ~* &*", "log", "xread"),
        ("+@all -punsubscribe ~* &*", "log", "punsubscribe"),
        ("+@all -hmget ~* &*", "sessions", "hmget"),
        ("+@all -hdel ~* &*", "presence events", "hdel"),
        ("+@all ~* &constellation:commands &chat:*", "publish events", "constellation:presence"),
        ("+@all ~* &chat:* &socket.io#*", "emitters", "PSUBSCRIBE socket.io-request#*"),
        # Permission for a pattern is permission for that very pattern.
        ("+@all ~* &socket.io#/chats#* &socket.io-request#*", "emitters", "PSUBSCRIBE socket.io#*"),
    ],
)
async def test_check_names_what_an_acl_user_lacks(
    rules: str, subject: str, says: str, valkey: Valkey, mine: str
) -> None:
    async with acl_user(valkey, f"gateway{mine}", rules) as url:
        with connected(url, DEFAULT) as redis:
            findings = list(
                inspection.inspect(
                    redis,
                    "redis://shown",
                    compiled(),
                    DEFAULT,
                    DEFAULT_EMITTERS.patterns,
                    keeps_log=True,
                    announces=True,
                )
            )

    (failed,) = [finding.detail for finding in findings if finding.subject == subject]
    assert says in failed
    assert inspection.has_failed(findings)
    assert "hunter2" not in failed


async def test_the_documented_privileges_are_enough(
    terminal: Terminal, valkey: Valkey, gateway: StartGateway, mine: str
) -> None:
    async with acl_user(valkey, f"least{mine}", documented_privileges()) as url:
        done = await terminal.run("check", redis=url)
        async with gateway(url, CONSTELLATION_LOG_LEVEL="debug") as pod:
            assert await pod.terminate() == 0

    assert done.code == 0, done.out
    # The version, and publishing where only a transaction could ask without being heard. How many
    # files may be open is the machine's.
    warnings = [line.split()[1] for line in done.out.splitlines() if line.startswith("warning")]
    assert [subject for subject in warnings if subject != "open"] == ["version", "publish"]
    for trouble in ("presence could not be written", "the heartbeat could not be sent"):
        assert pod.log(trouble) == []


async def test_check_fails_without_a_redis_and_shows_no_secret(terminal: Terminal) -> None:
    done = await terminal.run("check", REDIS_PASSWORD="hunter2")

    assert done.code == 1
    *_, finding, _, verdict = done.out.splitlines()
    assert "Connection refused" in finding
    assert verdict == "FAILED: a gateway could not work; see redis"
    assert "hunter2" not in done.out + done.err


async def test_check_of_a_gateway_that_keeps_no_log_does_not_ask_for_one(
    terminal: Terminal, valkey: Valkey
) -> None:
    done = await terminal.run("check", redis=valkey.url, CONSTELLATION_DELIVERY="live")

    assert done.code == 0
    assert "XREVRANGE constellation:events" in done.out, "it delivers what is written there"
    assert "XADD" not in done.out
    assert "sessions" not in done.out


async def test_check_leaves_nothing_in_redis(terminal: Terminal) -> None:
    own = Valkey()
    own.start()
    try:
        await terminal.run("check", redis=own.url)
        async with Redis.from_url(own.url) as redis:
            assert await redis.dbsize() == 0
    finally:
        own.stop()


# --- serve ---------------------------------------------------------------------------------------


async def test_serve_logs_a_setting_that_it_does_not_know(
    gateway: StartGateway, valkey: Valkey
) -> None:
    idle = {"CONSTELLATION_LOG_LISTENERS": 2, "CONSTELLATION_LOG_PARTITIONS": 3}
    async with gateway(valkey.url, CONSTELLATION_DRAIN_WINDOW="20", **idle) as pod:
        (without_effect,) = pod.log("setting without effect")
        assert without_effect["reason"].startswith("CONSTELLATION_LOG_LISTENERS has no effect")
        (line,) = pod.log("unknown setting")
        assert line["variable"] == "CONSTELLATION_DRAIN_WINDOW"
        assert line["closest"] == "CONSTELLATION_DRAIN_WINDOW_SECONDS"
        assert pod.stray_lines() == []
