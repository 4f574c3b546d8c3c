"""Questions to all pods: their answers' bytes, and when all have answered."""

from __future__ import annotations

import pytest
from msgspec import Raw

from constellation_ws.messages.events import Sid, UserId
from constellation_ws.redis_io import asking
from constellation_ws.redis_io.asking import (
    Acked,
    Counted,
    Listed,
    MalformedAnswer,
    Question,
    Reached,
    Reported,
)

LISTED = Listed([UserId("u1"), UserId("ü 2")], "pod-a")
REPORTED = Reported("pod-a", Raw(b'{"n":[1]}'))


@pytest.mark.parametrize("answer", [Counted(3, "pod-a"), LISTED, Listed([], "pod-a"), REPORTED])
def test_what_is_written_is_read(answer: asking.Reply) -> None:
    assert asking.read(asking.write(7, answer)) == (7, answer)


def test_a_count_has_the_form_of_the_releases_before() -> None:
    assert asking.write(7, Counted(3, "pod-a")) == b"7 3 pod-a"
    assert asking.write(7, Counted(3, "pod-a"), is_named=False) == b"7 3"
    assert asking.read(b"7 3") == (7, Counted(3, ""))


DEEP = b'7 {"users":' + b"[" * 5_000


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"7", b"7 ", b"x 3", b"7 three", b"-7 3", b"7 -3"),
        *(b"7 {", b'7 {"users":[]}', b'7 {"pod":1}', b"7 [", b'7 ["pod"]'),
        pytest.param(b"9" * 5_000 + b" 3", id="more digits than Python reads"),
        pytest.param(DEEP, id="nested too deeply"),
    ],
)
def test_what_is_no_answer_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        asking.read(payload)


@pytest.mark.parametrize(
    "answer",
    [
        Reached([Sid("s1"), Sid("s2")], "pod-a"),
        Reached([], "pod-a"),
        Acked(Sid("s1"), Raw(b"null")),
        Acked(Sid("s1"), Raw(b'{"text": "half of one \\ud83d"}')),
    ],
)
def test_what_is_written_of_acks_is_read(answer: asking.AckAnswer) -> None:
    assert asking.read_ack(asking.write_ack(7, answer)) == (7, answer)


def test_the_answer_to_a_question_is_none_about_acks() -> None:
    assert asking.read_ack(b"7 3 pod-a") is None


@pytest.mark.parametrize("rest", [b"", b"7", b"7 {}", b"x s1 1", b"7 s1", b"7 s1 ", b"7 \xff 1"])
def test_what_is_no_answer_about_acks_is_refused(rest: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        asking.read_ack(b"ack " + rest)


def test_a_question_is_complete_when_all_pods_and_subscribers_have_answered() -> None:
    question = Question(["a", "b"])
    question.add(Counted(1, "a"))
    question.expect(3)
    question.add(Counted(1, "b"))
    assert not question.complete.is_set()

    question.add(Counted(1, "c"))  # one that was not registered yet

    assert question.complete.is_set()


def test_a_question_names_the_pods_that_have_not_answered() -> None:
    question = Question(["a", "b", "c"])
    question.expect(3)
    question.add(LISTED)
    question.add(Counted(1, "b"))

    assert question.missing() == ["a", "c"]
    assert not question.complete.is_set()
