"""`python -m benchmarks`: which servers, which workloads, how often; then the table and the files.

The order of things is in `main`; each step is a call into one module.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import load, machine, plot, results, servers, session, summary, table, targets
from benchmarks.results import Record, Run, ServerLabel, Summary
from benchmarks.servers import Server
from benchmarks.workloads import QUICK, WORKLOADS, Workload

# A whole session on all servers is what the README tells of; it is kept under this name too.
_LATEST = "latest"
_WHOLE_ROUNDS = 5
_QUICK = ("live", "durable", "node")


def main() -> int:
    """0, or 1 when a run failed or nothing could be measured."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no server behind
    try:
        record = results.read(options.show) if options.show else _measure(options)
    except (results.NoResult, servers.ServerFailed, load.LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    show = table.for_page if options.markdown else table.for_terminal
    print(show(record.summary))
    if options.plot:
        plot.write(record.summary, options.plot)
    return 1 if any(run.failure for run in record.runs) else 0


def _measure(options: argparse.Namespace) -> Record:
    machine.allow_open_files()
    chosen, workloads = _chosen_servers(options), _chosen_workloads(options)
    _tell_what_is_left_out(chosen, workloads)
    cores = machine.divide_cores()
    rounds = options.rounds or (1 if options.quick else _WHOLE_ROUNDS)
    runs, made_of = _run_all(chosen, workloads, rounds, cores)
    rows = summary.rows(runs, workloads, [server.key for server in chosen])
    record = Record(
        Summary(
            machine=machine.description(),
            pinning=cores.sentence,
            rounds=max((run.round + 1 for run in runs), default=0),
            is_quick=options.quick,
            servers=[ServerLabel(s.key, s.title, made_of.get(s.key, "")) for s in chosen],
            rows=rows,
            verdicts=targets.verdicts(rows),
            load_note=summary.load_note(runs),
            warnings=summary.warnings(runs),
        ),
        runs,
    )
    _keep(record, options)
    return record


def _run_all(
    chosen: Sequence[Server], workloads: Sequence[Workload], rounds: int, cores: machine.Cores
) -> tuple[list[Run], dict[str, str]]:
    """All runs, or those that were done when the user interrupted."""
    runs: list[Run] = []
    made_of: dict[str, str] = {}
    total = rounds * sum(server.takes(w.name) for server in chosen for w in workloads)
    try:
        for run, parts in session.measure(chosen, workloads, rounds, cores):
            runs.append(run)
            made_of[run.server] = parts or made_of.get(run.server, "")
            print(f"{len(runs):>4}/{total}  {_told(run)}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("Interrupted: the table shows what was measured until now.", file=sys.stderr)
    return runs, made_of


def _tell_what_is_left_out(chosen: Sequence[Server], workloads: Sequence[Workload]) -> None:
    for server in chosen:
        for workload in workloads:
            if reason := server.lacks.get(workload.name):
                said = f"{workload.name} is not measured on {server.key}: {reason}."
                print(said, file=sys.stderr)


def _told(run: Run) -> str:
    figures = ", ".join(f"{key} {table.number(value)}" for key, value in run.figures.items())
    failure = (run.failure or "").partition("\n")[0]
    return f"round {run.round + 1}  {run.workload:<16} {run.server:<8} {failure or figures}"


def _keep(record: Record, options: argparse.Namespace) -> None:
    name = options.name or datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    results.write(name, record)
    print(f"Kept as benchmarks/results/{name}.json", file=sys.stderr)
    if _is_whole(record):
        results.write(_LATEST, Record(record.summary))


def _is_whole(record: Record) -> bool:
    """Whether it may speak for the project: everything, everywhere, long and often enough."""
    summed, every = record.summary, _made(servers.NAMES, {})
    expected = _WHOLE_ROUNDS * sum(one.takes(w.name) for one in every for w in WORKLOADS)
    return not summed.is_quick and not summed.warnings and len(record.runs) >= expected


def _chosen_servers(options: argparse.Namespace) -> list[Server]:
    both = _pairs(options.env)
    if options.ab is None and not options.env_b:
        return _made(options.servers or (_QUICK if options.quick else servers.NAMES), both)
    checkout = {"checkout": options.ab} if options.ab else {}
    differences = [*(["the other checkout"] if options.ab else []), *options.env_b]
    of_b = ", ".join(differences)
    return [
        servers.ours("a", "A (as it is)", environment=both),
        servers.ours("b", f"B ({of_b})", environment=both | _pairs(options.env_b), **checkout),
    ]


def _made(names: Sequence[str], environment: dict[str, str]) -> list[Server]:
    return [
        servers.OWN[name](environment) if name in servers.OWN else servers.PEERS[name]()
        for name in names
    ]


def _chosen_workloads(options: argparse.Namespace) -> list[Workload]:
    every = QUICK if options.quick and not options.workloads else WORKLOADS
    chosen = [w for w in every if not options.workloads or w.name in options.workloads]
    return [workload.shortened() for workload in chosen] if options.quick else chosen


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (setting.partition("=") for setting in settings)}


def _several(allowed: Sequence[str], what: str) -> Callable[[str], list[str]]:
    """An argparse type: names separated by commas, each of which must be known."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in allowed]
        if unknown:
            known = ", ".join(allowed)
            raise argparse.ArgumentTypeError(f"no {what} is called {unknown[0]}; known: {known}")
        return names

    return parse


def _checkout(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / "service").is_dir():
        raise argparse.ArgumentTypeError(f"{text} has no folder `service`")
    return path


def _setting(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer workloads, shorter, one round: under 2 minutes")
    every = ", ".join(servers.NAMES)
    add("--servers", type=_several(servers.NAMES, "server"), default=[], help=every)
    names = [workload.name for workload in WORKLOADS]
    add("--workloads", type=_several(names, "workload"), default=[], help=", ".join(names))
    add("--rounds", type=int, help="how often each is measured (default 5, quick 1)")
    add("--env", type=_setting, action="append", default=[], help="KEY=VALUE for ours")
    add("--ab", type=_checkout, metavar="CHECKOUT", help="ours against ours of another checkout")
    add("--env-b", type=_setting, action="append", default=[], help="KEY=VALUE for B alone")
    add("--name", help="of the result file (default: date and time)")
    add("--show", metavar="NAME", help="measure nothing: show an earlier result")
    add("--markdown", action="store_true", help="print the table for a page")
    add("--plot", type=Path, metavar="FILE.svg", help="draw the result")
    return parser


if __name__ == "__main__":
    sys.exit(main())
