"""The SBML Test Suite, semantic cases, through our engines: one line per case, and a page that names every loss.

    make conformance SUITE=path/to/sbml-test-suite

The suite (https://github.com/sbmlteam/sbml-test-suite, LGPL) is not part of this repository; only its case numbers and
what became of them are. Each case runs in a process of its own with limits of time and memory.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import re
import resource
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent.parent / "docs"
TABLE, PAGE = HERE / "evidence" / "conformance.csv", HERE / "conformance.md"

HEAD = ("case", "outcome", "compared", "reason", "tags")

#: Limits of the process of one case: CPU time and memory; and how much longer it may take on a busy machine.
SECONDS, MEGABYTES, BUSY = 120, 8000, 10

#: Questions after which a process is begun afresh.
RECYCLED = 100


class Row(NamedTuple):
    """What became of a case: right, wrong, refused, failed, crash or hang; and whether libRoadRunner agrees."""

    case: str
    outcome: str
    compared: str
    reason: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One case of the suite: what to run, what to read, and what is right."""

    id: str
    folder: Path
    tags: tuple[str, ...]
    settings: dict[str, str]

    @property
    def model(self) -> Path:
        """The newest level and version of the model that the case has."""
        return max(self.folder.glob("*-sbml-l[23]v?.xml"), key=lambda path: path.name)

    def listed(self, name: str) -> tuple[str, ...]:
        """A list of the settings."""
        return tuple(v.strip() for v in self.settings.get(name, "").split(",") if v.strip())


def read_case(folder: Path) -> Case:
    """Read the settings and the tags of a case."""
    settings = {}
    for line in (folder / f"{folder.name}-settings.txt").read_text().splitlines():
        name, _, value = line.partition(":")
        settings[name.strip().lower()] = value.strip()
    text = (folder / f"{folder.name}-model.m").read_text(errors="replace")
    tags = []
    for name in ("componentTags", "testTags"):
        found = re.search(rf"^{name}:(.*(?:\n[ \t]+\S.*)*)", text, re.M)
        tags += [t.strip() for t in found[1].replace("\n", ",").split(",") if t.strip()] if found else []
    return Case(folder.name, folder, tuple(sorted(set(tags))), settings)


def outcome(case: Case, worker: Worker) -> Row:
    """Run a case in the worker's process and compare it with what is right."""
    from metabolism.engines.foreign import judge
    from metabolism.errors import ModelError

    if not case.settings.get("duration"):
        return Row(case.id, "refused", "", "not a time course (flux balance)", case.tags)
    found = worker.ask(course, case)
    if "error" in found:
        return Row(case.id, found["kind"], "", found["error"], case.tags)
    verdict = "right" if matches(case, np.array(found["asked"], dtype=float)) else "wrong"
    try:
        judged = judge(found, lambda rtol: worker.ask(referee, case, found["names"], rtol))
    except ModelError as error:
        return Row(case.id, "refused", f"differs; alone it would be {verdict}", str(error), case.tags)
    missing = judged.agreement is None
    return Row(case.id, verdict, "" if missing else "agrees", judged.remarks[-1] if missing else "", case.tags)


def course(case: Case) -> dict[str, Any]:
    """The fast engine on a case: its course for the referee, and what the suite asks for."""
    from metabolism.engines.foreign import course_of, run_one
    from metabolism.sbml import general_equations, start_values

    start, length = (float(case.settings[n] or 0) for n in ("start", "duration"))
    found = course_of(str(case.model), start + length, start)
    equations = general_equations(found["reading"])
    species = found["reading"]["species"]
    names = case.listed("variables")
    places = [species[n][0] for n in names if n in species]
    times = np.linspace(start, start + length, int(case.settings["steps"]) + 1)
    parameters, initial = start_values(equations, 1, time=start)
    outputs = list(dict.fromkeys([*names, *places]))
    scale = np.array(found["scale"])
    values = run_one(equations, parameters, initial, times, start + length, outputs, 1e-8, scale).values[0]
    by_name = dict(zip(outputs, values.T, strict=True))
    asked = []
    for name in names:
        value = by_name[name]
        if name in species:
            place, whole = species[name]
            if name in case.listed("amount") and not whole:
                value = value * by_name[place]
            if name in case.listed("concentration") and whole:
                value = value / by_name[place]
        asked.append(value)
    return {**found, "asked": np.array(asked).T.tolist()}


def referee(case: Case, names: list[str], rtol: float) -> dict[str, Any]:
    """LibRoadRunner on a case."""
    from metabolism.engines.foreign import referee_of

    start, length = (float(case.settings[n] or 0) for n in ("start", "duration"))
    return referee_of(str(case.model), start + length, start, names, rtol)


def matches(case: Case, values: np.ndarray) -> bool:
    """Whether values are within the tolerances of a case at every time."""
    with (case.folder / f"{case.id}-results.csv").open() as file:
        head, *rows = [row for row in csv.reader(file) if row]
    # the first column is the time, whatever else bears its name
    columns = [1 + [h.strip() for h in head[1:]].index(name) for name in case.listed("variables")]
    right = np.array([[float(row[c]) for c in columns] for row in rows])
    with np.errstate(invalid="ignore"):
        near = np.abs(values - right) <= float(case.settings["absolute"]) + float(case.settings["relative"]) * np.abs(
            right
        )
    return bool((near | (values == right) | (np.isnan(values) & np.isnan(right))).all())


class Worker:
    """A process of its own with limits, begun afresh after it ended and after some cases."""

    def __init__(self) -> None:
        self.process: Any = None
        self.asked = 0

    def ask(self, function: Any, *arguments: Any) -> dict[str, Any]:
        """Call a function there: its answer, or how the process ended."""
        if self.process is None or self.asked >= RECYCLED:
            self.end()
            context = multiprocessing.get_context("fork")
            self.pipe, theirs = context.Pipe()
            self.process, self.asked = context.Process(target=_serve, args=(theirs,), daemon=True), 0
            self.process.start()
            theirs.close()
        self.asked += 1
        self.pipe.send((function, arguments))
        try:
            if self.pipe.poll(BUSY * SECONDS):
                return self.pipe.recv()
            answer = {"kind": "hang", "error": "no answer"}
        except EOFError:
            self.process.join()
            slow = self.process.exitcode == -signal.SIGXCPU
            answer = {
                "kind": "hang" if slow else "crash",
                "error": f"more than {SECONDS} s" if slow else f"ended by signal {-self.process.exitcode}",
            }
        self.end()
        return answer

    def end(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(pipe: Any) -> None:
    from metabolism.errors import MetabolismError, SolverFailed

    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES * 2**20,) * 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        function, arguments = pipe.recv()
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))
        try:
            answer = function(*arguments)
        except SolverFailed as error:
            answer = {"kind": "failed", "error": str(error)}
        except MetabolismError as error:
            answer = {"kind": "refused", "error": str(error)}
        except Exception as error:
            answer = {"kind": "crash", "error": f"{type(error).__name__}: {error}"}
        pipe.send(answer)


#: What refusals have in common: a name for them, and a word of the reason.
KINDS = {
    "algebraic rules": "algebraic rule",
    "packages that change the mathematics": "SBML package",
    "submodels in other files": "from other files",
    "delayed values (csymbol delay)": "csymbol 'delay'",
    "fast reactions": "is fast",
    "no time course (flux balance)": "flux balance",
    "libRoadRunner finds something else": "disagree",
    "breaks the rules of SBML": "breaks the rules",
    "no rate law": "no rate law",
}

#: Constructs by which the page counts, and the tags that stand for them.
GROUPS = {
    "reactions and species": {"Reaction"},
    "rate rules": {"RateRule"},
    "assignment rules": {"AssignmentRule"},
    "initial assignments": {"InitialAssignment"},
    "function definitions": {"FunctionDefinition"},
    "events without delay": {"EventNoDelay"},
    "events with delay": {"EventWithDelay"},
    "event priorities": {"EventPriority"},
    "events that do not persist": {"EventIsNotPersistent"},
    "the time": {"CSymbolTime"},
    "`rateOf`": {"CSymbolRateOf"},
    "Avogadro's number": {"CSymbolAvogadro"},
    "conversion factors": {"ConversionFactors"},
    "changing compartments": {"NonConstantCompartment"},
    "compartments without dimensions": {"0D-Compartment"},
    "species as amounts": {"HasOnlySubstanceUnits"},
    "boundary species": {"BoundaryCondition"},
    "computed stoichiometry": {"StoichiometryMath", "AssignedConstantStoichiometry"},
    "variable stoichiometry": {"AssignedVariableStoichiometry"},
    "local parameters": {"LocalParameters"},
    "uncommon mathematics": {"UncommonMathML", "L3v2MathML", "BoolNumericSwap"},
    "algebraic rules": {"AlgebraicRule"},
    "delayed values": {"CSymbolDelay"},
    "fast reactions": {"FastReaction"},
}

_WORDS = ("right", "refused", "failed", "wrong", "crash", "hang")


def page(rows: list[list[str]], cases: int) -> str:
    """Write what became of the suite as a page."""
    counts = Counter(row[1] for row in rows)
    alone = sum(row[2] == "" and row[1] == "right" for row in rows)
    lines = [
        "# Conformance: the SBML Test Suite",
        "",
        "What becomes of the semantic cases of the [SBML Test Suite](https://github.com/sbmlteam/sbml-test-suite) on "
        "the fast engine, one member, in the newest level and version that each case has. *Right* is within the "
        "tolerances of the case at every time and for every variable. Each model that runs is compared with "
        "libRoadRunner first, and refused where the two differ. The code is the product's own, compiled with less "
        "optimisation to save time. Every case: `docs/evidence/conformance.csv`. Run it again with "
        "`make conformance SUITE=path/to/sbml-test-suite`; the suite (LGPL) is not part of this repository. Rows are "
        "kept from run to run: those that a change concerns are run anew, others when they are struck out.",
        "",
        f"Of {cases} cases {len(rows)} were run"
        + ("." if len(rows) == cases else f"; {cases - len(rows)} have not been, and nothing is said about them."),
        "",
        "| " + " | ".join(_WORDS) + " |",
        "|" + "---|" * len(_WORDS),
        "| " + " | ".join(str(counts[word]) for word in _WORDS) + " |",
        "",
        f"{alone} of the right ones could not be compared: libRoadRunner does not run them, or the file leaves the "
        "order of events of equal priority to chance, and each run draws its own.",
        "",
        "## What is refused, and what fails",
        "",
        "| reason | cases | which |",
        "|---|---|---|",
    ]
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row[1] != "right":
            kind = next((name for name, word in KINDS.items() if word in row[3]), f"{row[1]}: {row[3][:90]}")
            reasons.setdefault(kind, []).append(row[0])
    for kind, ids in sorted(reasons.items(), key=lambda item: -len(item[1])):
        shown = " ".join(sorted(ids)[:12]) + (" ..." if len(ids) > 12 else "")
        lines.append(f"| {kind} | {len(ids)} | {shown} |")
    lines += ["", "## By construct", "", "| construct | cases | right | refused | other |", "|---|---|---|---|---|"]
    for name, tags in GROUPS.items():
        own = Counter(row[1] for row in rows if tags & set(row[4].split()))
        other = own.total() - own["right"] - own["refused"]
        lines.append(f"| {name} | {own.total()} | {own['right']} | {own['refused']} | {other} |")
    return "\n".join([*lines, ""])


def table(path: Path) -> list[list[str]]:
    """Rows of the table, without its head."""
    return [row for row in csv.reader(path.open()) if row and row[0] != HEAD[0]] if path.exists() else []


def sample(folders: list[Path], size: int = 150) -> list[Path]:
    """A fixed sample in which every tag has its turn: the rarest first, then by number."""
    cases = {f: read_case(f).tags for f in folders}
    count = Counter(tag for tags in cases.values() for tag in tags)
    chosen: dict[Path, None] = {}
    for tag, _ in sorted(count.items(), key=lambda item: (item[1], item[0])):
        have = [f for f in folders if tag in cases[f]]
        for folder in have[:: max(1, len(have) // 3)][:3]:
            chosen.setdefault(folder)
    for folder in folders[:: max(1, len(folders) // size)]:
        chosen.setdefault(folder)
    return sorted([*chosen][:size])


def main() -> None:
    """Run the suite, or what is left of it, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--slice", default="0/1")
    parser.add_argument("--seed", type=Path)
    parser.add_argument("--to", type=Path, default=TABLE)
    parser.add_argument("--sample", action="store_true", help="the fixed sample of 150 cases")
    parser.add_argument("--page", action="store_true", help="write the page from the table, and run nothing")
    options = parser.parse_args()
    import llvmlite.binding  # noqa: F401
    import roadrunner  # noqa: F401
    import scipy.special  # noqa: F401

    import metabolism.engines.ensemble.compile as compiler
    import metabolism.engines.ensemble.engine
    import metabolism.engines.foreign  # noqa: F401

    compiler.LEVELS = (1, 0)
    folders = sorted(p for p in (options.suite / "cases" / "semantic").glob("[0-9]*") if p.is_dir())
    cases = len(folders)
    if options.page:
        PAGE.write_text(page(table(options.to), cases))
        return
    folders = sample(folders) if options.sample else folders
    n, of = map(int, options.slice.split("/"))
    rows = [*table(options.to), *(table(options.seed) if options.seed else [])]
    done = {row[0] for row in rows}
    random.Random(1).shuffle(folders)
    folders = [f for f in folders if not options.only or f.name in options.only][n::of]
    folders = [f for f in folders if f.name not in done]
    worker = Worker()
    # a run that was interrupted goes on where it was
    with options.to.open("a", newline="") as file:
        for folder in folders:
            row = outcome(read_case(folder), worker)
            rows.append([*row[:4], " ".join(row.tags)])
            csv.writer(file, lineterminator="\n").writerow(rows[-1])
            file.flush()
            if row.outcome != "right" or options.only:
                print(*row[:4], flush=True)
    worker.end()
    total = Counter(row[1] for row in rows)
    print(dict(total))
    if options.to == TABLE:
        with TABLE.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEAD, *sorted(rows)])
        PAGE.write_text(page(sorted(rows), cases))
    raise SystemExit(int(bool(total["wrong"] or total["crash"] or total["hang"])))


if __name__ == "__main__":
    main()
