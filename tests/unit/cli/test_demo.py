"""The demo's story: events that reach the users, told in a few words."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from redis.asyncio import Redis

from constellation_ws.cli import demo
from constellation_ws.cli.client import Heard, News, Note
from constellation_ws.cli.demo import (
    ALICE,
    BOB,
    CHAT,
    Scene,
    describe,
    recorded,
    story,
    to_line,
)
from constellation_ws.cli.publish import doubt_of
from constellation_ws.messages.events import chat_room, user_room
from tests.tables import compiled

TABLE = compiled()
NOW_MS = 1_760_000_000_123


def heard(event: str, *arguments: Any) -> Heard:
    return Heard(BOB, event, arguments, datetime.now(UTC), 0.0)


def delivered(scene: Scene) -> tuple[str, Any]:
    """What clients get of a scene: its event and its payload."""
    message = TABLE[scene.channel].route(json.dumps(scene.payload).encode())
    assert message is not None
    return message.event, json.loads(msgspec.json.encode(message.body))


@pytest.mark.parametrize("number", range(8))
def test_every_scene_reaches_one_of_the_two(number: int) -> None:
    scene = story(number, NOW_MS)
    raw = json.dumps(scene.payload).encode()

    assert doubt_of(TABLE, scene.channel, raw, 1_000_000) is None
    message = TABLE[scene.channel].route(raw)
    assert message is not None
    assert {user_room(ALICE), user_room(BOB), chat_room(CHAT)} & set(message.rooms)


@pytest.mark.parametrize("number", range(8))
def test_a_scene_knows_its_delivery_from_that_of_the_scene_before(number: int) -> None:
    scene, before = story(number + 1, NOW_MS + 1_000), story(number, NOW_MS)

    assert scene.is_source_of(heard(*delivered(scene)))
    assert not scene.is_source_of(heard(*delivered(before)))
    assert not scene.is_source_of(heard("mark", "a text"))


def test_four_scenes_differ_and_the_story_goes_on() -> None:
    told = [describe(heard(*delivered(story(number, NOW_MS)))) for number in range(8)]

    assert told == [
        "alice: Hello Bob, this is message 1",
        "bob is typing",
        "m-1 was read",
        "bob is online",
        "alice: Hello Bob, this is message 2",
        "bob is typing",
        "m-2 was read",
        "bob is away",
    ]


@pytest.mark.parametrize(
    ("event", "data"),
    [("new-message", {"text": "from nobody"}), ("new-message", None), ("like", [1]), ("a", 1.5)],
)
def test_what_others_publish_is_shown_as_it_is(event: str, data: Any) -> None:
    assert describe(heard(event, data)) == json.dumps(data)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ""),
        (("a", b"\x00"), '"a" {"base64": "AA=="}'),
        (({"userId": "bob", "status": "away"}, "5-1"), 'bob is away "5-1"'),
    ],
)
def test_every_argument_is_shown(arguments: tuple[Any, ...], said: str) -> None:
    assert describe(heard("user-status", *arguments)) == said


@pytest.mark.parametrize("arguments", [(), (b"\x00",), ([1], {}), ({"chatId": b"\x00"},)])
def test_what_others_publish_is_of_no_scene(arguments: tuple[Any, ...]) -> None:
    assert not story(0, NOW_MS).is_source_of(heard("new-message", *arguments))


def test_lines_align_whatever_was_said_and_name_the_time_it_took() -> None:
    short = to_line(heard("user-typing", {"userId": "bob", "isTyping": False}), 1.25)
    long = to_line(heard("new-message", {"senderId": "a", "text": "x" * 99}), 1000.0)

    assert len(short) == len(long)
    assert "bob has stopped typing" in short
    assert short.endswith(" 1.2")
    assert long.endswith("...  1000.0")


class Recording:
    """A Redis whose gateway delivers, after a note, what is published."""

    def __init__(self, news: asyncio.Queue[News], *, delivers: bool) -> None:
        self.news = news
        self.delivers = delivers
        self.published: list[Scene] = []

    async def publish(self, channel: str, payload: str) -> None:
        self.published.append(Scene(channel, json.loads(payload)))
        self.news.put_nowait(Note("a note"))
        if self.delivers:
            self.news.put_nowait(heard("user-status"))


async def test_the_show_begins_once_an_event_has_arrived() -> None:
    redis = Recording(asyncio.Queue(), delivers=True)
    await recorded(cast("Redis", redis), redis.news)
    assert redis.news.empty()
    (scene,) = redis.published
    message = TABLE[scene.channel].route(json.dumps(scene.payload).encode())
    assert message is not None
    assert list(message.rooms) == [user_room(ALICE)]


async def test_the_show_begins_also_where_nothing_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_FIRST_SECONDS", 0.01)
    redis = Recording(asyncio.Queue(), delivers=False)
    await recorded(cast("Redis", redis), redis.news)
    assert redis.news.empty()


def test_a_delivery_of_unknown_age_has_no_time() -> None:
    assert to_line(heard("user-status", {"userId": "bob", "status": "away"}), None).endswith("away")
