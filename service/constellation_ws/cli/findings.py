"""What a check found: a verdict, a sentence, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How bad a finding is."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer."""

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""
    """What to do; empty where there is nothing to do."""

    def facts(self) -> Mapping[str, Any]:
        """Give all of it for programs."""
        return {
            "subject": self.subject,
            "verdict": self.verdict.value.lower(),
            "detail": self.detail,
            "remedy": self.remedy or None,
        }

    def to_text(self) -> str:
        """Write it for people, in one line or two."""
        line = f"{self.verdict.value:<8} {self.subject:<11} {self.detail}"
        return f"{line}\n{'':20} -> {self.remedy}" if self.remedy else line


def ok(subject: str, detail: str) -> Finding:
    """Nothing is wrong."""
    return Finding(subject, Verdict.OK, detail)


def skipped(subject: str, detail: str, remedy: str = "") -> Finding:
    """It could not be looked at; the remedy says how it can be."""
    return Finding(subject, Verdict.SKIPPED, detail, remedy)


def warning(subject: str, detail: str, remedy: str) -> Finding:
    """It works, and may not always."""
    return Finding(subject, Verdict.WARNING, detail, remedy)


def failed(subject: str, detail: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(subject, Verdict.FAILED, detail, remedy)


def conclusion(findings: Iterable[Finding]) -> str:
    """Say all of it in one line."""
    findings = list(findings)
    named = {
        verdict: ", ".join(dict.fromkeys(f.subject for f in findings if f.verdict is verdict))
        for verdict in (Verdict.FAILED, Verdict.WARNING)
    }
    if named[Verdict.FAILED]:
        return f"FAILED: {named[Verdict.FAILED]}"
    if named[Verdict.WARNING]:
        return f"ok, with warnings: {named[Verdict.WARNING]}"
    return "ok: nothing is wrong that can be seen from here"
