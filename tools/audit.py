"""Ask PyPI for published vulnerabilities of every version that requirements/*.txt lock.

What cannot be asked about is no good news: the exit code is 1 for a vulnerability, 2 where there
was no answer about a package, 0 only where there was one about each. pip-audit does the asking.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VULNERABLE, UNKNOWN = 1, 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one locked package."""

    package: str
    vulnerabilities: tuple[str, ...]
    """Their ids, with the versions that are free of them."""
    is_known: bool


def main() -> int:
    """Print what was found, lock by lock, and give the exit code."""
    worst = 0
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        verdicts = list(audited(lock))
        worst = max(worst, report(lock.name, verdicts), key=(0, UNKNOWN, VULNERABLE).index)
    return worst


def audited(lock: Path) -> Iterator[Verdict]:
    """Ask about one lock. A machine that reaches nobody knows nothing of any package."""
    command = ["pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner=off"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--format=json", "--requirement", lock],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = done.stderr.strip().splitlines() or ["pip-audit said nothing"]
        yield Verdict(f"all of it ({reason[-1][:200]})", (), is_known=False)
        return
    for one in found:
        ids = (f"{each['id']} (fixed in {each['fix_versions']})" for each in one.get("vulns", ()))
        package = f"{one['name']} {one.get('version', '')}".strip()
        yield Verdict(package, tuple(ids), is_known="skip_reason" not in one)


def report(lock: str, verdicts: list[Verdict]) -> int:
    """Print what is known of one lock and give its exit code."""
    unknown = [verdict.package for verdict in verdicts if not verdict.is_known]
    bad = [verdict for verdict in verdicts if verdict.vulnerabilities]
    print(f"{lock}: {len(verdicts) - len(unknown)} packages asked about, {len(bad)} vulnerable")
    for verdict in bad:
        print(f"  {verdict.package}: {', '.join(verdict.vulnerabilities)}")
    if unknown:
        print(f"  no answer about {len(unknown)}: {', '.join(unknown[:5])}, …", file=sys.stderr)
        print("  pip-audit asks https://pypi.org/pypi/<name>/<version>/json", file=sys.stderr)
    if bad:
        return VULNERABLE
    return UNKNOWN if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
