"""A context that follows its files."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from constellation_ws.tls.files import RenewedContext


class Files:
    """One file, and a reader that counts and may fail."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "file"
        self.file.write_text("1")
        self.reads = 0
        self.is_good = True
        self.context = RenewedContext("test", [self.file, folder / "absent"], self._read)

    def _read(self) -> ssl.SSLContext:
        self.reads += 1
        if not self.is_good:
            raise OSError("no certificate")
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def test_files_are_read_once_and_again_when_they_change(tmp_path: Path) -> None:
    files = Files(tmp_path)
    first = files.context.get()
    assert files.context.get() is first
    files.file.write_text("22")
    second = files.context.get()
    assert second is not first
    assert files.context.get() is second
    assert files.reads == 2


def test_files_that_become_useless_leave_the_good_ones_in_force(tmp_path: Path) -> None:
    files = Files(tmp_path)
    good = files.context.get()
    files.is_good = False
    files.file.unlink()
    with capture_logs() as logs:
        assert files.context.get() is good
        assert files.context.get() is good
    assert [log["event"] for log in logs] == ["tls files cannot be used"]
    files.is_good = True
    files.file.write_text("333")
    assert files.context.get() is not good


def test_files_that_are_useless_at_first_are_an_error_each_time(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.is_good = False
    for _ in range(2):
        with pytest.raises(OSError, match="no certificate"):
            files.context.get()
