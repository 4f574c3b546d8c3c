"""Which of the API's answers count: for whom, for how long, and which ends void them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constellation_ws.access import known as access_known
from constellation_ws.access.answers import ApiAnswer
from constellation_ws.access.known import ENDS_SECONDS, NO_SECONDS, YES_SECONDS, Known
from constellation_ws.messages.events import ChatId, UserId

BOB, EVE = UserId("bob"), UserId("eve")
C, D = ChatId("c"), ChatId("d")
YES, NO = ApiAnswer(True), ApiAnswer(False)


class Memory:
    """Known, with the steps of a question in one."""

    def __init__(self) -> None:
        self.known = Known()
        self.now = 0.0

    def learn(self, answer: ApiAnswer, user: UserId = BOB, chat: ChatId = C) -> None:
        self.known.learn(user, chat, answer, self.known.number(), self.now)

    def recall(self, user: UserId = BOB, chat: ChatId = C) -> bool | None:
        verdict = self.known.recall(user, chat, self.now)
        return None if verdict is None else verdict.allowed


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_an_answer_counts_for_its_user_and_chat_and_for_its_time(memory: Memory) -> None:
    for answer, seconds in ((YES, YES_SECONDS), (NO, NO_SECONDS)):
        assert memory.recall() is None
        memory.learn(answer)
        assert memory.recall() is answer.allowed
        assert memory.recall(EVE) is None
        assert memory.recall(BOB, D) is None
        memory.now += seconds - 0.01
        assert memory.recall() is answer.allowed
        memory.now += 0.02


def test_a_yes_counts_for_all_who_are_named_and_a_no_for_nobody_else(memory: Memory) -> None:
    memory.learn(ApiAnswer(True, users=frozenset(["bob", "eve"])))
    memory.learn(ApiAnswer(True, chats=frozenset(["d", "e"])), BOB, D)
    assert memory.recall(BOB, C) is memory.recall(EVE, C) is True
    assert memory.recall(BOB, D) is memory.recall(BOB, ChatId("e")) is True
    assert memory.recall(UserId("mallory"), C) is None
    assert memory.recall(EVE, D) is None


@pytest.mark.parametrize(
    "yes",
    [YES, ApiAnswer(True, users=frozenset(["bob", "eve"])), ApiAnswer(True, chats=frozenset("cd"))],
)
def test_an_end_voids_what_was_asked_before_and_nothing_of_others(
    yes: ApiAnswer, memory: Memory
) -> None:
    memory.learn(yes)
    memory.known.end(C, EVE, memory.now)
    memory.known.end(D, None, memory.now)
    assert memory.recall() is True
    memory.known.end(C, BOB, memory.now)
    assert memory.recall() is None
    memory.learn(yes)
    assert memory.recall() is True
    memory.known.end(C, None, memory.now)
    assert memory.recall() is None


def test_an_answer_to_what_was_asked_before_an_end_does_not_count(memory: Memory) -> None:
    number = memory.known.number()
    memory.known.end(C, BOB, memory.now)
    memory.known.learn(BOB, C, ApiAnswer(True, users=frozenset(["bob", "eve"])), number, memory.now)
    assert memory.recall(BOB) is None
    assert memory.recall(EVE) is True
    assert not memory.known.counts(BOB, C, number)
    assert memory.known.counts(EVE, C, number)


def test_of_two_answers_that_of_the_later_question_counts(memory: Memory) -> None:
    early, late = memory.known.number(), memory.known.number()
    users = ApiAnswer(True, users=frozenset(["bob"]))
    memory.known.learn(BOB, C, ApiAnswer(False, users=frozenset()), late, memory.now)
    memory.known.learn(BOB, C, users, early, memory.now)
    assert memory.recall() is False


@pytest.mark.parametrize("no", [NO, ApiAnswer(False, users=frozenset())])
def test_a_no_that_is_late_contradicts_nothing(no: ApiAnswer, memory: Memory) -> None:
    early = memory.known.number()
    memory.learn(ApiAnswer(True, users=frozenset(["bob"])))
    memory.known.learn(BOB, C, no, early, memory.now)
    assert memory.recall() is True


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        (YES, NO),
        (ApiAnswer(True, users=frozenset(["bob"])), ApiAnswer(False, users=frozenset(["eve"]))),
        (ApiAnswer(True, chats=frozenset(["c"])), ApiAnswer(False, chats=frozenset(["d"]))),
        (ApiAnswer(True, chats=frozenset(["c"])), NO),
    ],
)
def test_a_yes_does_not_come_back_when_a_later_no_has_expired(
    yes: ApiAnswer, no: ApiAnswer, memory: Memory
) -> None:
    memory.learn(yes)
    memory.learn(no)
    assert memory.recall() is False
    memory.now += NO_SECONDS
    assert memory.recall() is None


@pytest.mark.parametrize(
    "yes",
    [YES, ApiAnswer(True, users=frozenset(["bob"])), ApiAnswer(True, chats=frozenset(["c"]))],
)
def test_a_yes_that_is_late_does_not_count_when_a_later_no_has_expired(
    yes: ApiAnswer, memory: Memory
) -> None:
    """It was asked for before the no, and came behind it."""
    early = memory.known.number()
    memory.learn(NO)
    memory.known.learn(BOB, C, yes, early, memory.now)
    assert memory.recall() is False
    memory.now += NO_SECONDS
    memory.known.learn(BOB, D, YES, memory.known.number(), memory.now)
    assert memory.recall() is None
    memory.learn(YES)
    assert memory.recall() is True


def test_an_end_is_retained_for_longer_than_an_answer_could_count(memory: Memory) -> None:
    number = memory.known.number()
    memory.known.end(C, BOB, memory.now)
    memory.now += ENDS_SECONDS - 1
    memory.known.end(D, None, memory.now)
    assert not memory.known.counts(BOB, C, number)
    memory.now += 1
    memory.known.end(D, None, memory.now)
    assert len(memory.known._ends) == 1


def test_more_ends_than_can_be_retained_void_everything(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_known, "MAX_ENDS", 10)
    memory.learn(YES)
    number = memory.known.number()
    memory.known.end(D, BOB, memory.now)
    for n in range(10):
        memory.known.end(ChatId(f"x{n}"), None, memory.now)
    assert memory.recall() is None
    assert not memory.known.counts(BOB, D, number)
    memory.learn(YES)
    assert memory.recall() is True


def test_what_is_retained_has_a_bound_in_bytes_and_the_oldest_goes_first(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_known, "MAX_YES_BYTES", 1_000_000)
    users = frozenset(f"user-{n}" for n in range(1_000))
    for n in range(50):
        memory.learn(ApiAnswer(True, users=users | {"bob"}), BOB, ChatId(f"c{n}"))
        assert memory.known._yes_bytes <= 1_000_000
    assert memory.recall(BOB, ChatId("c0")) is None
    assert memory.recall(BOB, ChatId("c49")) is True
    for seconds in (YES_SECONDS, 2 * YES_SECONDS):
        memory.now += seconds
        memory.learn(YES)
        assert len(memory.known._yes) == 1


def test_each_name_in_an_answer_takes_room(memory: Memory) -> None:
    memory.learn(ApiAnswer(True, users=frozenset(f"user-{n}" for n in range(1_000))))
    assert 100_000 < memory.known._yes_bytes < 200_000


def test_what_has_expired_is_forgotten(memory: Memory) -> None:
    for _ in range(3):
        memory.learn(NO)
        memory.known.end(D, BOB, memory.now)
        memory.now += ENDS_SECONDS + NO_SECONDS + 1
        memory.learn(NO, EVE)
        assert (len(memory.known._nos), len(memory.known._ends)) == (1, 0)


def test_noes_are_bounded_too(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_known, "MAX_NOS", 10)
    for n in range(20):
        memory.learn(NO, BOB, ChatId(f"c{n}"))
    assert memory.recall(BOB, ChatId("c9")) is None
    assert memory.recall(BOB, ChatId("c10")) is False
    assert len(memory.known._nos) == 10


def test_a_yes_does_not_come_back_when_a_later_no_has_made_room(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_known, "MAX_NOS", 10)
    memory.learn(YES)
    memory.learn(NO)
    for n in range(20):
        memory.learn(NO, BOB, ChatId(f"x{n}"))
    assert memory.recall() is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("learn"), st.sampled_from("ab"), st.sampled_from("cd"), st.booleans()),
        st.tuples(st.just("end"), st.sampled_from(["a", "b", None]), st.sampled_from("cd")),
        st.tuples(st.just("wait"), st.floats(0, 6)),
    ),
    max_size=40,
)


@given(STEPS)
def test_a_yes_is_never_older_than_an_end_a_later_no_or_its_time(
    steps: list[tuple[object, ...]],
) -> None:
    memory = Memory()
    last: dict[tuple[str, str], tuple[bool, float]] = {}
    for step in steps:
        match step:
            case ("learn", str(user), str(chat), bool(allowed)):
                memory.learn(ApiAnswer(allowed), UserId(user), ChatId(chat))
                last[user, chat] = (allowed, memory.now)
            case ("end", user, str(chat)):
                memory.known.end(ChatId(chat), user and UserId(str(user)), memory.now)  # type: ignore[arg-type]
                for one in (user,) if user else ("a", "b"):
                    last.pop((str(one), chat), None)
            case ("wait", float(seconds)):
                memory.now += seconds
        for user in "ab":
            for chat in "cd":
                allowed, at = last.get((user, chat), (False, float("-inf")))
                keep = YES_SECONDS if allowed else NO_SECONDS
                expected = allowed if memory.now < at + keep else None
                assert memory.recall(UserId(user), ChatId(chat)) is expected
