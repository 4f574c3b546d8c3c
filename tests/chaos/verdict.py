"""What a client should have got, what it got, and the difference.

Pure. Within a session every acknowledged event that is addressed to the client must arrive, once
and in order. A new session is a reported loss: it excuses what is missing, where it came in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tests.chaos.ledger import Event, Ledger, Outcome
from tests.chaos.story import Account, Session, Story, read
from tests.chaos.timeline import Timeline

_TRUST_MS = 1_000
"""What was in the log for so long before a `recovered` connect must come with it or after it."""
_STEADY_MS = 3_000
"""A connection that lasts this long after every pod has read an event should have brought it."""


class Fault(Enum):
    """A promise that is broken."""

    MISSING = "missing"
    DOUBLED = "doubled"
    DISORDERED = "out of order"
    STRAY = "stray"
    """Not for this client, never sent, or refused; or what no client should see."""
    NEEDLESS = "needless"
    """A new session where nothing was lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise to one client."""

    fault: Fault
    ms: float
    number: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one client."""

    story: Story
    account: Account
    findings: list[Finding]
    lost: list[Event]
    """What a steady connection did not get, whether that was reported or not."""

    @property
    def is_clean(self) -> bool:
        return not self.findings

    @property
    def received_ms(self) -> list[float]:
        return [ms for session in self.account.sessions for ms, _ in session.received]

    @property
    def recovered_ms(self) -> list[float]:
        return [ms for session in self.account.sessions for ms in session.connects_ms[1:]]

    @property
    def new_sessions_ms(self) -> list[float]:
        return [session.opened_ms for session in self.account.sessions[1:]]

    @property
    def is_connected(self) -> bool:
        sessions = self.account.sessions
        return bool(sessions) and sessions[-1].is_connected

    def has(self, number: int) -> bool:
        """Tell whether the client received this event, ever."""
        return any(number == n for one in self.account.sessions for _, n in one.received)


def judge(ledger: Ledger, story: Story, timeline: Timeline, slack_ms: float = 0) -> Verdict:
    """Compare a client's sessions with the ledger.

    `slack_ms` bounds how far the client's clock may be from that of the publishers.
    """
    account = read(story)
    findings = [Finding(Fault.STRAY, ms, None, sentence) for ms, sentence in account.wrong]
    lost: list[Event] = []
    former: dict[int, Session] = {}
    for session in account.sessions:
        findings += _wrongly_received(ledger, story, session, former, timeline)
        for event in _missed(ledger, story, session, timeline, slack_ms):
            finding = _missing(event, session, timeline, story.group)
            if finding is not None:
                findings.append(finding)
            steady_ms = timeline.caught_up(event.settled_ms) + _STEADY_MS
            if story.group is None and session.is_steady(event.sent_ms, steady_ms):
                lost.append(event)
        former |= {number: session for _, number in session.received}
    findings += _needless(story, account, timeline)
    return Verdict(story, account, sorted(findings, key=lambda one: one.ms), lost)


# What came


def _wrongly_received(
    ledger: Ledger, story: Story, session: Session, former: dict[int, Session], timeline: Timeline
) -> Iterator[Finding]:
    seen: set[int] = set()
    furthest_place: dict[tuple[str, str], int] = {}
    furthest_sent: dict[tuple[str, str], int] = {}
    for ms, number in session.received:
        event = ledger.events.get(number)
        if event is None or not _may_get(event, story, session, timeline):
            yield Finding(Fault.STRAY, ms, number, "not for this client")
            continue
        if number in seen:
            yield Finding(Fault.DOUBLED, ms, number)
            continue
        seen.add(number)
        if number in former and _is_stale(event, session, timeline):
            yield Finding(Fault.DOUBLED, ms, number, "in an earlier session already")
        order, lane = event.order, (event.lane, event.sequence)
        if event.is_accepted and (
            event.place < furthest_place.get(lane, 0)
            or event.settled_ms < furthest_sent.get(order, 0)
        ):
            yield Finding(Fault.DISORDERED, ms, number)
        furthest_place[lane] = max(event.place, furthest_place.get(lane, 0))
        furthest_sent[order] = max(event.sent_ms, furthest_sent.get(order, 0))


def _may_get(event: Event, story: Story, session: Session, timeline: Timeline) -> bool:
    if event.outcome is Outcome.REFUSED:
        return False
    if story.user in event.users:
        return True
    stays = [one for one in session.stays if one.room in event.rooms]
    # What is known to be delivered everywhere by then is not for who asks to join later.
    over_ms = timeline.caught_up(event.settled_ms) if event.is_accepted else float("inf")
    return any(one.is_possible(event.sent_ms) and one.asked_ms <= over_ms for one in stays)


def _is_stale(event: Event, session: Session, timeline: Timeline) -> bool:
    """Tell whether an event was delivered everywhere before the session began."""
    return event.is_accepted and session.opened_ms > timeline.caught_up(event.settled_ms)


# What did not come


def _missed(
    ledger: Ledger, story: Story, session: Session, timeline: Timeline, slack_ms: float
) -> list[Event]:
    """Give what was due and did not arrive."""
    received = {number for _, number in session.received}
    begin, end = session.opened_ms + slack_ms, session.ended_ms

    def is_lacking(event: Event) -> bool:
        return (
            event.number not in received
            and event.is_accepted
            and event.sent_ms > begin
            and (end is None or event.sent_ms < end)
        )

    missed = {event.number: event for event in ledger.to_user(story.user) if is_lacking(event)}
    for stay in session.stays:
        for event in ledger.to_room(stay.room):
            if not is_lacking(event):
                continue  # most are not, and a deadline takes a walk over all disasters
            deadline_ms = timeline.deadline(event.settled_ms, story.group)
            if stay.is_due(event.sent_ms, deadline_ms, slack_ms):
                missed[event.number] = event
    return list(missed.values())


def _missing(
    event: Event, session: Session, timeline: Timeline, group: str | None
) -> Finding | None:
    """Say what is wrong with an event that did not arrive; None where that was reported."""
    if event.way.order == "log":
        for ms in session.connects_ms[1:]:
            if event.settled_ms + _TRUST_MS < ms:
                return Finding(Fault.MISSING, event.sent_ms, event.number, "recovered without it")
    if session.is_connected:
        return Finding(Fault.MISSING, event.sent_ms, event.number, "never reported")
    assert session.ended_ms is not None, "not connected"
    if session.ended_ms > timeline.deadline(event.settled_ms, group):
        return Finding(Fault.MISSING, event.sent_ms, event.number, "reported too late")
    return None


def _needless(story: Story, account: Account, timeline: Timeline) -> Iterator[Finding]:
    if not (story.can_resume and story.has_offsets):
        return
    for before, after in zip(account.sessions, account.sessions[1:], strict=False):
        assert before.ended_ms is not None, "another session followed"
        if not timeline.may_lose(before.ended_ms, after.opened_ms):
            yield Finding(Fault.NEEDLESS, after.opened_ms, None, "a new session, nothing was lost")
