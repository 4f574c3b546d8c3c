"""What a session of measurements leaves behind: plain values, and their JSON file.

How they are measured, summed up and shown is elsewhere.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.load import LoadReport

FOLDER = Path(__file__).parent / "results"


class NoResult(Exception):
    """Nothing that can be shown is kept under that name; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Run:
    """One workload on one fresh server. A run that failed has a sentence instead of figures."""

    server: str
    workload: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    report: LoadReport | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Median of the rounds, with the least and the greatest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one workload; ratios are the first server's figure to each other's."""

    workload: str
    metric: str
    title: str
    unit: str
    higher_is_better: bool
    figures: dict[str, Range]
    ratios: dict[str, Range]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a target of the project is met, in a sentence."""

    sentence: str
    met: bool


@dataclass(frozen=True, slots=True)
class ServerLabel:
    """How a server is called, and the parts with versions that it told it is made of."""

    key: str
    title: str
    made_of: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a reader needs, and nothing of the single runs."""

    machine: dict[str, str]
    pinning: str
    rounds: int
    is_quick: bool
    servers: list[ServerLabel]
    rows: list[Row]
    verdicts: list[Verdict]
    load_note: str
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a result file."""

    summary: Summary
    runs: list[Run] = field(default_factory=list)


def write(name: str, record: Record) -> Path:
    """Keep it as results/<name>.json."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return path


def read(name: str) -> Record:
    """Raises `NoResult` with a sentence when there is none that can be read."""
    try:
        return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        raise NoResult(f"benchmarks/results/{name}.json cannot be shown: {error}.") from error
