"""A user's sessions, found among all others."""

from __future__ import annotations

import pytest

from constellation_ws.cli import sessions
from constellation_ws.log.positions import Ticket
from constellation_ws.messages.events import UserId
from constellation_ws.recovery import record
from tests.unit.cli.conftest import NAMES, Deployment


def store(deployment: Deployment, pid: str, user: str, *rooms: str) -> None:
    """Write a session as its pod does."""
    ticket = Ticket(
        pid, "podpodpo.7", user, f"sid-{pid}", rooms, epoch="e", begin=(1, 0), has_offsets=True
    )
    fields = record.write(ticket, (1, 0))
    flat = [b"owner", b"podpodpo.7", b"user", user.encode(), b"record", fields.record]
    key = NAMES.session(pid)
    deployment.redis.execute_command("HSET", key, *flat, *fields.rooms)
    deployment.redis.pexpire(key, 60_000)


def test_sessions_of_a_user_are_shown_with_pod_and_rooms(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_REPORT_PAGES", 1)
    store(deployment, "p2", "bob", "chat:1", "user:bob")
    store(deployment, "p1", "bob", "user:bob")
    store(deployment, "p3", "alice", "chat:1")
    deployment.redis.hset(NAMES.session("old"), mapping={"user": "bob", "record": "{"})
    progress: list[str] = []

    found = sessions.of_user(deployment.redis, NAMES, UserId("bob"), progress.append)

    assert [(one.sid, one.pod, one.rooms) for one in found] == [
        ("sid-p1", "podpodpo", ["user:bob"]),
        ("sid-p2", "podpodpo", ["chat:1", "user:bob"]),
    ]
    assert 0 < found[0].expires_seconds <= 60
    assert "p1" not in str(found[0].facts()).replace("sid-p1", "")
    assert progress


def test_a_user_without_a_session_has_none(deployment: Deployment) -> None:
    assert sessions.of_user(deployment.redis, NAMES, UserId("bob"), print) == []
