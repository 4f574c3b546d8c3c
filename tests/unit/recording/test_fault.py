"""Why events cannot be recorded: one line for each kind of fault, whatever its errors say."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from constellation_ws.recording.fault import FaultKind, RecordingFault, kind_of

REFUSED = "Error 111 connecting to localhost:6379. Connection refused."
SILENT = "Redis does not answer"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (REFUSED, FaultKind.AWAY),
        (SILENT, FaultKind.AWAY),
        ("Connection closed by server.", FaultKind.AWAY),
        ("CLUSTERDOWN The cluster is down", FaultKind.AWAY),
        ("LOADING Redis is loading the dataset in memory", FaultKind.AWAY),
        ("OOM command not allowed when used memory > 'maxmemory'.", FaultKind.FULL),
        ("command not allowed when used memory > 'maxmemory'.", FaultKind.FULL),
        ("READONLY You can't write against a read only replica.", FaultKind.READ_ONLY),
        ("You can't write against a read only replica.", FaultKind.READ_ONLY),
        ("MISCONF Valkey is configured to save RDB snapshots", FaultKind.CANNOT_SAVE),
        ("this user has no permissions to run the 'publish' command", FaultKind.NOT_PERMITTED),
        ("the subscription does not bring what this pod publishes", FaultKind.DEAF),
    ],
)
def test_a_kind_has_many_texts(reason: str, kind: FaultKind) -> None:
    assert kind_of(reason) is kind


def test_an_outage_is_one_line_though_its_errors_alternate() -> None:
    fault = RecordingFault({})
    with capture_logs() as lines:
        for _ in range(3):
            fault.note(SILENT, 1)
            fault.note(REFUSED, 2)
        fault.end()
        fault.note(REFUSED, 3)
    assert [(line["log_level"], line.get("reason")) for line in lines] == [
        ("warning", SILENT),
        ("info", None),
        ("warning", REFUSED),
    ]
    assert fault.reason == REFUSED


def test_another_kind_is_logged_at_once_and_each_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault, full = RecordingFault({}), "OOM command not allowed"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with capture_logs() as lines:
        for _ in range(3):
            fault.note(SILENT, 1)
            fault.note(full, 1)
        now += 31
        fault.note(full, 1)
    assert [line["reason"] for line in lines] == [SILENT, full, full]


def test_a_partition_is_named_where_there_are_several() -> None:
    with capture_logs() as lines:
        for shown in ({}, {"partition": 2}):
            fault = RecordingFault(shown)
            fault.note(SILENT, 1)
            fault.end()
    assert [line.get("partition") for line in lines] == [None, None, 2, 2]
