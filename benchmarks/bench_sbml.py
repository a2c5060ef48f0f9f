"""Measure ensembles of anybody's SBML against libRoadRunner's own loop, and write ``docs/performance_sbml.md``.

    python benchmarks/bench_sbml.py FOLDER            every *.xml in a folder, e.g. curated BioModels files
    python benchmarks/bench_sbml.py FOLDER --only BIOMD0000000005

Every file runs in a process of its own with an empty cache: opened through ``metabolism.ensemble``, then 1,000 members
whose constants are scattered, over `UNTIL` of the file's own time units, every state reported at 51 times. Both tools
run at the loosest tolerance of a ladder at which their largest error over the same members is at most `ACCURACY` of the
largest value of each state, against CVODE at 1e-12. They are timed in turns; the clock is CPU time.

The files are not part of this repository; their ids and what came out are. A file that was measured is not measured
again: delete its row to do so.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent / "docs" / "evidence" / "bench_sbml.csv"
PAGE = HERE.parent / "docs" / "performance_sbml.md"
#: Written by ``compile_times.py``.
OPENED = HERE.parent / "docs" / "evidence" / "compile_times.csv"
#: Span [time unit of each file], output times, and accuracy at which tools are compared.
UNTIL, POINTS, ACCURACY = 100.0, 51, 1e-5
LADDER = (1e-3, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7, 1e-8, 1e-9, 1e-10)
#: Members, those on whom errors are compared, those of the other tool that are timed, and rounds of taking turns.
MEMBERS, COMPARED, TIMED, ROUNDS = 1000, 4, 50, 3
#: Standard deviation of the logarithm of every constant that is not 0 and that nothing at the start is computed from.
SCATTER = 0.1
#: CPU seconds that one tool may use in one round, and wall seconds of a file.
ENOUGH, LIMIT = 4.0, 600
#: Tolerances of the reference, relative and absolute: the first that CVODE can hold.
REFERENCE = ((1e-12, 1e-16), (1e-11, 1e-14), (1e-10, 1e-13))
#: A state that stays below this share of the largest one counts as empty.
NOTHING = 1e-15
COLUMNS = (
    *("id", "outcome", "states", "parameters", "events", "open_s", "first_s", "loaded_s", "rtol", "error", "ms"),
    *("their_rtol", "their_error", "their_ms", "ratio", "break_even", "timed", "load", "reason"),
)


def spent(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds of this process, or of the children that ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def from_start(reading: dict[str, Any]) -> set[str]:
    """Ids from which something at the start is computed."""
    names: set[str] = set()
    waiting: list[Any] = list(reading["start"].values())
    while waiting:
        tree = waiting.pop()
        if isinstance(tree, list):
            waiting += tree[1:]
        elif isinstance(tree, str) and tree not in names:
            names.add(tree)
            waiting += [source[tree] for source in (reading["rules"], reading["start"]) if tree in source]
    return names


class Roadrunner:
    """libRoadRunner's own loop over members, on the file with its local parameters made global."""

    def __init__(self, path: Path, states: Sequence[str]) -> None:
        import libsbml
        import roadrunner

        roadrunner.Logger.setLevel(roadrunner.Logger.LOG_CRITICAL)
        document = libsbml.readSBMLFromFile(str(path))
        options = libsbml.ConversionProperties()
        options.addOption("promoteLocalParameters", True)
        document.convert(options)
        content = document.getModel()
        text = libsbml.writeSBMLToString(document)
        begin = spent()
        self.runner = roadrunner.RoadRunner(text)
        self.loaded = spent() - begin
        whole = {s.getId() for s in content.getListOfSpecies() if s.getHasOnlySubstanceUnits()}
        species = {*self.runner.model.getFloatingSpeciesIds(), *self.runner.model.getBoundarySpeciesIds()}
        self.runner.timeCourseSelections = [s if s not in species or s in whole else f"[{s}]" for s in states]
        self.runner.integrator.setValue("maximum_num_steps", 1_000_000)
        self.places = {k: i for i, k in enumerate(self.runner.model.getGlobalParameterIds())}

    def run(self, names: Sequence[str], rows: Any, rtol: float, atol: float) -> Any:
        """Integrate some members: (members, times, states)."""
        runner = self.runner
        runner.integrator.setValue("relative_tolerance", rtol)
        runner.integrator.setValue("absolute_tolerance", atol)
        places = [self.places[n] for n in names]
        values = []
        for row in rows:
            runner.resetAll()
            runner.model.setGlobalParameterValues(places, row)
            values.append(np.array(runner.simulate(0, UNTIL, POINTS)))
        return np.array(values)


def loosest(run: Callable[[float], Any], reference: Any, size: Any) -> tuple[float, float]:
    """The loosest tolerance that reaches the accuracy, and the error there."""
    error = np.inf
    for rtol in LADDER:
        try:
            values = run(rtol)
        except RuntimeError:
            continue
        error = float(np.nan_to_num(np.abs(values - reference) / size, nan=np.inf).max())
        if error <= ACCURACY:
            return rtol, error
    raise ValueError(f"the accuracy is not reached; the error at {LADDER[-1]:g} is {error:.1e}")


def measure(path: Path) -> dict[str, Any]:
    """Open, compare and time one file."""
    import metabolism as mb

    row: dict[str, Any] = {"id": path.stem, "outcome": "refused"}
    try:
        begin = spent() + spent(resource.RUSAGE_CHILDREN)
        ens = mb.ensemble(path)
        # children count once they have ended, and they have
        row["open_s"] = spent() + spent(resource.RUSAGE_CHILDREN) - begin
        ens.simulate(until=UNTIL)
        row["first_s"] = spent() + spent(resource.RUSAGE_CHILDREN) - begin - row["open_s"]
        from metabolism.model import equations

        system = equations(ens.model)
        row |= {"states": len(ens.states), "parameters": len(ens.parameters), "events": len(system.events)}
        row["outcome"] = "failed"
        other = Roadrunner(path, ens.states)
        row["loaded_s"] = other.loaded
        values, fixed = ens.values, from_start(system.reading)
        names = [p for p in ens.parameters if p in other.places and values[p] and np.isfinite(values[p])]
        names = [n for n in names if n not in fixed]
        if not names:
            raise ValueError("no constant can be varied in both tools")
        draws = np.exp(SCATTER * np.random.default_rng(1).standard_normal((MEMBERS, len(names))))
        table = draws * [values[n] for n in names]
        times = np.linspace(0, UNTIL, POINTS)

        def ours(rows: Any, rtol: float) -> Any:
            result = ens.simulate(dict(zip(names, rows.T, strict=True)), until=UNTIL, times=times, rtol=rtol)
            if result.failures:
                raise RuntimeError(
                    f"{len(result.failures)} of {len(rows)} members: {next(iter(result.failures.values()))}"
                )
            return np.stack([result.curves[s] for s in ens.states], axis=-1)

        few = table[:COMPARED]
        for rtol, atol in REFERENCE:
            try:
                reference = other.run(names, few, rtol, atol)
                break
            except RuntimeError as error:
                failed = error
        else:
            raise failed
        size = np.abs(reference).max(axis=1, keepdims=True)
        size = np.maximum(size, NOTHING * size.max())
        tight = ours(few, 1e-10)
        apart = float(np.nan_to_num(np.abs(tight - reference) / size, nan=np.inf).max())
        if apart > ACCURACY:
            row["outcome"] = "differs"
            raise ValueError(f"at tight tolerances the tools differ by {apart:.1e}")
        row["rtol"], row["error"] = loosest(lambda rtol: ours(few, rtol), reference, size)
        # whichever of two absolute tolerances is faster: that of its default, or one that goes with the relative one
        small = float(size.min())
        choices = []
        for atol in (lambda rtol: 1e-12, lambda rtol: rtol * 1e-2 * small):
            try:
                rtol, error = loosest(lambda r, a=atol: other.run(names, few, r, a(r)), reference, size)
            except ValueError:
                continue
            clock = spent()
            other.run(names, few, rtol, atol(rtol))
            choices.append((spent() - clock, rtol, error, atol(rtol)))
        if not choices:
            raise ValueError("libRoadRunner does not reach the accuracy")
        each, row["their_rtol"], row["their_error"], atol_theirs = min(choices)
        timed = int(np.clip(ENOUGH / max(each / COMPARED, 1e-5), COMPARED, TIMED))
        clock = spent()
        ours(table[:64], row["rtol"])
        count = int(np.clip(ENOUGH / max((spent() - clock) / 64, 1e-6), 64, MEMBERS))
        mine, theirs = [], []
        for _ in range(ROUNDS):
            clock = spent()
            ours(table[:count], row["rtol"])
            mine.append(1e3 * (spent() - clock) / count)
            clock = spent()
            other.run(names, table[:timed], row["their_rtol"], atol_theirs)
            theirs.append(1e3 * (spent() - clock) / timed)
        row["ms"], row["their_ms"] = statistics.median(mine), statistics.median(theirs)
        row["ratio"] = row["their_ms"] / row["ms"]
        gain, start = row["their_ms"] - row["ms"], 1e3 * (row["open_s"] + row["first_s"] - row["loaded_s"])
        row["break_even"] = int(np.ceil(max(start, 0.0) / gain)) if gain > 0 else ""
        row |= {"outcome": "measured", "timed": f"{count}/{timed}"}
    except (mb_error(), ValueError, RuntimeError, ArithmeticError) as error:
        row["reason"] = " ".join(str(error).split()).replace(str(path), path.name)[:300]
    row["load"] = os.getloadavg()[0]
    return row


def mb_error() -> type[Exception]:
    """The base of the errors of this package."""
    from metabolism.errors import MetabolismError

    return MetabolismError


def in_process(path: Path) -> dict[str, Any]:
    """Measure one file in a process of its own, with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, str(Path(__file__).resolve()), "--one", str(path)]
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        row: dict[str, Any] = {"id": path.stem, "outcome": "failed"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment, check=False)
        except subprocess.TimeoutExpired:
            return {**row, "reason": f"not done within {LIMIT} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    return {**row, "reason": (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:300]}


def read_table(path: Path = TABLE) -> list[dict[str, str]]:
    """Rows measured so far."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows, numbers in three digits."""
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in sorted(rows, key=lambda r: str(r["id"])):
            writer.writerow({k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()})


def page(rows: Sequence[dict[str, str]]) -> str:
    """The page of a table: distribution, losses, break-even, what was not measured."""
    good = sorted((r for r in rows if r["outcome"] == "measured"), key=lambda r: float(r["ratio"]))
    ratios = np.array([float(r["ratio"]) for r in good])
    firsts = np.array([float(r["first_s"]) for r in good])
    opened = np.array([float(r["open_s"]) for r in good])
    marks = (0, 10, 25, 50, 75, 90, 100)
    quantiles = np.percentile(ratios, marks)
    losses = [r for r in good if float(r["ratio"]) < 1]

    def late(members: int) -> int:
        return sum(float(r["break_even"] or "inf") > members for r in good)

    lines = [
        "# Speed on other models",
        "",
        "Written by `make bench-sbml` (`benchmarks/bench_sbml.py`); do not edit. Timings are never asserted in tests.",
        "",
        f"{len(rows)} curated BioModels files, {len(good)} measured. Each: {MEMBERS:,} members whose constants are "
        f"scattered (log-SD {SCATTER:g}), over {UNTIL:g} of the file's own time units, every state at {POINTS} times, "
        "through `metabolism.ensemble(file).simulate(table)` on one core, against libRoadRunner's own loop over the "
        f"same members. Both at the loosest tolerance at which the largest error over {COMPARED} members is at most "
        f"{ACCURACY:g} of the largest value of each state, against CVODE at {REFERENCE[0][0]:g}; libRoadRunner with "
        "the faster of two absolute tolerances. CPU time, in turns; where members are slow fewer are timed (*timed*: "
        "ours/theirs) and the time per member is taken from those. The machine was shared and busy: see *load*.",
        "",
        "## Distribution",
        "",
        "Time per member of libRoadRunner over ours, compile time apart:",
        "",
        "| " + " | ".join(f"{m} %" if 0 < m < 100 else ("least", "most")[m == 100] for m in marks) + " |",
        "|" + "---|" * len(marks),
        "| " + " | ".join(f"{q:.1f}" for q in quantiles) + " |",
        "",
        f"On {len(losses)} of {len(good)} files we lose; on {int((ratios >= 10).sum())} we are 10 times faster or more."
        f" Opening a file from cold (checking, reading, compiling, in a process of its own) takes "
        f"{np.median(opened):.1f} s of CPU time in the median and {opened.max():.1f} s at most; the "
        f"first run, which compares one member with libRoadRunner, {np.median(firsts):.1f} s more. *Break-even* is the "
        "number of members from which both are paid back.",
        "",
        f"So for a run from cold, opening and first run included, libRoadRunner is done earlier on {late(1_000)} of "
        f"{len(good)} files with 1,000 members, on {late(10_000)} with 10,000, and on {late(100_000)} with 100,000 "
        f"(break-even at {np.median([float(r['break_even'] or 'inf') for r in good]):,.0f} members in the median). "
        "A file is opened from cold once: its code is kept.",
        "",
        "## Before the first run, by size",
        "",
        "CPU seconds for networks with twice as many reactions as states, a third each of mass action, saturating and "
        "cooperative with inhibitor, with the libraries loaded (`benchmarks/compile_times.py`); the aim was 3 s for 50 "
        "states. It is said before it starts.",
        "",
        "| states | reactions | read [s] | compile [s] | load |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(r.values()) + " |" for r in read_table(OPENED)),
        "",
    ]
    head = (
        "file",
        "states",
        "events",
        "open [s]",
        "first run [s]",
        "ours [ms]",
        "rtol",
        "error",
        "libRoadRunner [ms]",
        "rtol",
        "error",
    )
    columns = (
        "id",
        "states",
        "events",
        "open_s",
        "first_s",
        "ms",
        "rtol",
        "error",
        "their_ms",
        "their_rtol",
        "their_error",
    )
    head, columns = (*head, "ratio", "break-even", "timed", "load"), (*columns, "ratio", "break_even", "timed", "load")

    def table(some: Sequence[dict[str, str]]) -> list[str]:
        rule = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        return [*rule, *("| " + " | ".join(r[c] or "never" for c in columns) + " |" for r in some), ""]

    lines += ["## Where we lose", ""]
    lines += table(losses) if losses else ["Per member nowhere in this set; from cold, see above.", ""]
    lines += ["## Every file, slowest ratio first", "", *table(good)]
    others = [r for r in rows if r["outcome"] != "measured"]
    lines += ["## Not measured", "", "| file | outcome | reason |", "|---|---|---|"]
    lines += [f"| {r['id']} | {r['outcome']} | {r['reason'].replace('|', '/')} |" for r in others]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure what has no row yet, and write table and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("folder", nargs="?", type=Path, help="folder of SBML files")
    parser.add_argument("--only", nargs="*", default=[], help="only these files, by name without ending")
    parser.add_argument("--most", type=int, default=10_000, help="at most so many files")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(measure(arguments.one)))
        return
    rows: list[dict[str, Any]] = [*read_table()]
    files = sorted(arguments.folder.glob("*.xml")) if arguments.folder else []
    known = {r["id"] for r in rows}
    todo = [f for f in files if f.stem not in known and (not arguments.only or f.stem in arguments.only)]
    for path in todo[: arguments.most]:
        begin = time.monotonic()
        row = in_process(path)
        rows.append(row)
        write_table(rows)
        numbers = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items() if k != "id"}
        print(f"{path.stem} ({time.monotonic() - begin:.0f} s): {numbers}", flush=True)
    PAGE.write_text(page(read_table()), encoding="utf-8")
    print(f"written: {TABLE}, {PAGE}")


if __name__ == "__main__":
    main()
