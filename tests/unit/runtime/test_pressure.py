"""Where the kernel says how much memory a container may use, and what is made of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from constellation_ws.observability.metrics import Metrics
from constellation_ws.runtime.overload import Overload
from constellation_ws.runtime.pressure import MemoryFiles, Pressure, find_memory_limit

V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
V2 = ("memory.max", "memory.current", "memory.stat")


class Kernel:
    """A tree of groups, and what a process's own file says of where it is."""

    def __init__(self, folder: Path) -> None:
        self.groups, self.own = folder / "cgroup", folder / "own"

    def is_in(self, *lines: str) -> None:
        self.own.write_text("\n".join(lines) + "\n")

    def group(self, path: str, names: tuple[str, ...], limit: str, used: int, stat: str) -> None:
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(names, (limit, f"{used}\n", stat), strict=True):
            (folder / name).write_text(text)

    def find(self) -> MemoryFiles | None:
        return find_memory_limit(self.groups, self.own)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_a_container_of_version_2_sees_its_group_as_the_root(kernel: Kernel) -> None:
    kernel.is_in("0::/")
    kernel.group("", V2, "1000\n", 700, "anon 5\ninactive_file 200\nactive_file 9\n")
    found = kernel.find()
    assert found is not None
    assert (found.limit_bytes(), found.used_bytes()) == (1_000, 500)


def test_a_container_of_version_1_is_told_the_path_on_its_host(kernel: Kernel) -> None:
    kernel.is_in("9:name=systemd:/kubepods/x", "4:cpu,memory:/kubepods/x", "0::/")
    kernel.group("memory", V1, "1000\n", 700, "inactive_file 1\ntotal_inactive_file 300\n")
    found = kernel.find()
    assert found is not None
    assert (found.limit_bytes(), found.used_bytes()) == (1_000, 400)


def test_the_lowest_limit_of_all_groups_around_counts(kernel: Kernel) -> None:
    kernel.is_in("0::/pod/container")
    kernel.group("pod/container", V2, "max\n", 10, "inactive_file 0\n")
    kernel.group("pod", V2, "2000\n", 20, "inactive_file 0\n")
    kernel.group("", V2, "3000\n", 30, "inactive_file 0\n")
    found = kernel.find()
    assert found is not None
    assert (found.limit_bytes(), found.used_bytes()) == (2_000, 20)


def test_no_limit_is_none(kernel: Kernel) -> None:
    assert kernel.find() is None, "neither file is there: no Linux"
    kernel.is_in("4:memory:/", "0::/")
    assert kernel.find() is None
    kernel.group("", V2, "max\n", 1, "")
    kernel.group("memory", V1, "9223372036854771712\n", 1, "")
    assert kernel.find() is None


def test_what_is_seen_is_noted_and_told_when_it_begins_and_ends(kernel: Kernel) -> None:
    kernel.is_in("0::/")
    kernel.group("", V2, "1000\n", 100, "inactive_file 0\n")
    overload = Overload()
    pressure = Pressure(overload, Metrics(), kernel.find())
    told = []
    with capture_logs() as lines:
        for used in (100, 950, 990, 500, 500):
            (kernel.groups / "memory.current").write_text(f"{used}\n")
            pressure.look()
            told.append(overload.is_on())
    assert told == [False, True, True, False, False]
    assert [line["event"].partition(":")[0] for line in lines] == [
        "overloaded",
        "no longer overloaded",
    ]
    assert lines[0]["reason"] == "95% of the container's memory is in use"


def test_files_that_vanish_are_no_fault(kernel: Kernel) -> None:
    kernel.is_in("0::/")
    kernel.group("", V2, "1000\n", 100, "inactive_file 0\n")
    overload = Overload()
    pressure = Pressure(overload, Metrics(), kernel.find())
    (kernel.groups / "memory.current").unlink()
    pressure.look()
    assert not overload.is_on()


def test_files_that_have_run_out_are_counted_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    metrics = Metrics()
    pressure = Pressure(Overload(), metrics, None)
    pressure.look()
    monkeypatch.setattr(os, "open", refuse)
    with capture_logs() as lines:
        pressure.look()
    assert metrics.registry.get_sample_value("constellation_open_files_exhausted_total") == 1
    assert lines[0]["log_level"] == "error"


def test_a_loop_that_stays_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("constellation_ws.runtime.pressure.time.monotonic", lambda: now)
    pressure = Pressure(Overload(), Metrics(), None)
    with capture_logs() as lines:
        for now in range(20):  # noqa: B007 - read by the clock above
            pressure.note_lag(0.9)
    assert [line["reason"] for line in lines] == ["the event loop is 0.9 s late"]
