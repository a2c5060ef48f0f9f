"""Published one-carbon models beside ours: which rows each can express, and which of those it passes.

Their SBML files are not shipped; the ids that correspond to ours are in ``experiments/cases/peers/ids.csv``. Each
state is run to rest by libRoadRunner in the sandbox for foreign files, which refuses what `metabolism compare` refuses.
The reading is generous: a study's own baseline is left out where a model has no inputs for it, and liver homocysteine
stands in for plasma wherever only a relative change is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.cases.metrics import Reading
from metabolism.cases.peer_worker import Answer
from metabolism.cases.people import Arm
from metabolism.cases.rows import Row
from metabolism.data import experiments_dir
from metabolism.dosing import Hold
from metabolism.errors import OutputError, UnknownName
from metabolism.model import Model, equations
from metabolism.sbml import in_sandbox
from metabolism.simulation import rest_patients
from metabolism.tables import read_table

#: When a model is given up [s].
_PATIENCE = 120

_RELATIVE = ("percent_change", "fold", "percent_difference", "ratio", "ordering", "interaction")

_LIVER = "liver"


@dataclass(eq=False)
class Peer:
    """One published model and what it can say.

    Attributes
    ----------
    simulated : dict of str to float
        Value of each row it can express [unit of the row].
    missing : dict of str to str
        Why the other rows cannot be expressed, or failed.
    """

    id: str
    title: str
    rows: list[Row]
    simulated: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def passes(self, row: Row) -> bool:
        """Whether the model has a value for the row and it lies in the band."""
        return row.id in self.simulated and row.low <= self.simulated[row.id] <= row.high

    def cases(self) -> tuple[int, int, int]:
        """Count (cases that pass, cases it can express in full, all cases)."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.case, []).append(row)
        whole = [g for g in groups.values() if all(r.id in self.simulated for r in g)]
        return sum(all(self.passes(r) for r in g) for g in whole), len(whole), len(groups)

    def as_json(self) -> dict[str, Any]:
        """Return the model's results as plain data."""
        passed, whole, total = self.cases()
        rows = [{"id": r, "simulated": v} for r, v in self.simulated.items()]
        for entry, row in zip(rows, (r for r in self.rows if r.id in self.simulated), strict=True):
            entry["passed"] = self.passes(row)
        return {
            "model": self.id,
            "title": self.title,
            "cases": total,
            "cases_expressed": whole,
            "cases_passed": passed,
            "rows": rows,
            "not_expressed": self.missing,
        }


class _Cannot(Exception):
    """Why a row has no counterpart in a model."""


def run_peers(model: Model, rows: Sequence[Row], names: Iterable[str]) -> list[Peer]:
    """Run published models on the rows they can express.

    Parameters
    ----------
    model : Model
        Ours: supplies liver volume and the activity a genotype leaves.
    names : iterable of str
        SBML files, folders of them, or BioModels ids of files beside these (or in the working directory).

    Raises
    ------
    UnknownName, OutputError
        For a model without a table of ids, or a file that is not there.
    """
    table = _table()
    peers = []
    for key, path in _find(list(names), table):
        peer = Peer(key, next(e["theirs"] for e in table[key] if e["kind"] == "title"), list(rows))
        _run(model, peer, path, table[key])
        peers.append(peer)
    return peers


def _table() -> dict[str, list[dict[str, str]]]:
    columns = ("model", "kind", "ours", "theirs", "use", "note")
    models: dict[str, list[dict[str, str]]] = {}
    for entry in read_table(experiments_dir() / "cases" / "peers" / "ids.csv", columns):
        models.setdefault(entry["model"], []).append(entry)
    return models


def _find(names: list[str], table: dict[str, list[dict[str, str]]]) -> list[tuple[str, Path]]:
    """Resolve files, folders and ids to (model id, path)."""
    folders = [Path.cwd(), Path.cwd() / "biomodels"]
    folders += [p if p.is_dir() else p.parent for p in map(Path, names) if p.exists()]
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(path.glob("*.xml"))
            if not inside:
                raise OutputError(f"the folder '{name}' holds no SBML file (*.xml).")
            files += inside
        elif path.is_file():
            files.append(path)
        elif name in table:
            beside = [f / f"{name}.xml" for f in folders if (f / f"{name}.xml").is_file()]
            if not beside:
                raise OutputError(
                    f"there is no {name}.xml here; download it from https://www.ebi.ac.uk/biomodels/{name} and "
                    "give its path."
                )
            files.append(beside[0])
        else:
            raise UnknownName("published model", name, table, "Give an SBML file, a folder, or one of these ids.")
    chosen = []
    for file in files:
        key = next((k for k in table if k in file.stem), None)
        if key is None:
            head = file.read_text(encoding="utf-8", errors="replace")[:20_000]
            key = next((k for k in table if k in head), None)
        if key is None:
            raise UnknownName(
                "published model", file.stem, table, "Its ids must be in experiments/cases/peers/ids.csv."
            )
        chosen.append((key, file))
    return list(dict.fromkeys(chosen))


def _run(model: Model, peer: Peer, path: Path, entries: list[dict[str, str]]) -> None:
    """Collect every state the model has to be run to, run them in one process, and read the rows."""
    start = next((_settings(e["theirs"]) for e in entries if e["kind"] == "start"), {})
    jobs: list[dict[str, Any]] = []
    plans: dict[str, tuple[Row, list[int]]] = {}
    for row in peer.rows:
        try:
            expression = _expression(row, entries)
            plans[row.id] = (
                row,
                [_job(model, arm, row.times[-1], start, entries, expression, jobs) for arm in row.arms],
            )
        except _Cannot as reason:
            peer.missing[row.id] = str(reason)
    answers = _worker(path, jobs) if jobs else []
    for key, (row, places) in plans.items():
        pairs = [answers[i] for i in places]
        broken = next((a for a in pairs if isinstance(a, str)), None)
        if broken is not None:
            peer.missing[key] = broken
            continue
        readings = [
            Reading(np.array([before]), np.array([[after]]), np.zeros(0), np.zeros((1, 0)))
            for before, after in map(_pair, pairs)
        ]
        value = float(row.metric.compute(readings)[0, 0] * row.factor)
        if _use(row, entries) == "flux" and not row.metric.unit:
            value *= model.values[_LIVER]
        peer.simulated[key] = value


def _pair(answer: Answer) -> tuple[float, float]:
    assert not isinstance(answer, str)
    return answer[0], answer[1]


def _use(row: Row, entries: list[dict[str, str]]) -> str:
    return next((e["use"] for e in entries if e["kind"] == "output" and e["ours"] == row.terms[0][1]), "")


def _expression(row: Row, entries: list[dict[str, str]]) -> str:
    """What to read in their model; refuses what it cannot mean."""
    if row.window:
        raise _Cannot("a time course after a dose")
    if len(row.terms) > 1 or row.below:
        raise _Cannot(f"has no {row.text['observable']}")
    name = row.terms[0][1]
    entry = next((e for e in entries if e["kind"] == "output" and e["ours"] == name), None)
    if entry is None:
        raise _Cannot(f"has no {name}")
    if entry["use"] == "relative" and row.text["metric"] not in _RELATIVE:
        raise _Cannot(f"has no {name}, only a relative stand-in for it")
    return entry["theirs"]


def _job(
    model: Model,
    arm: Arm,
    time: float,
    start: dict[str, float],
    entries: list[dict[str, str]],
    expression: str,
    jobs: list[dict[str, Any]],
) -> int:
    """Number of the job that brings one arm to rest and then runs it to a time [h]."""
    if arm.treatment.doses:
        raise _Cannot("has no doses")
    if len(arm.members) > 1:
        raise _Cannot("has no mixture of people")
    states = []
    for moment in (-np.inf, time):
        values, scale = dict(start), dict[str, float]()
        for hold in (*arm.members[0].population.holds, *arm.treatment.holds):
            setting, factors = _translate(model, hold, entries)
            # read just before a change at the same time, so a change at the reading is not yet in force
            if hold.start <= moment < hold.end or (hold.start < moment == hold.end):
                values |= setting
                for key, factor in factors.items():
                    scale[key] = factor if hold.origin else scale.get(key, 1.0) * factor
        states.append({"values": values, "scale": scale})
    job = {"before": states[0], "after": states[1], "hours": time, "read": expression}
    if job not in jobs:
        jobs.append(job)
    return jobs.index(job)


def _translate(model: Model, hold: Hold, entries: list[dict[str, str]]) -> tuple[dict[str, float], dict[str, float]]:
    """Their settings and factors for one of our holds."""
    if hold.origin:
        entry = next((e for e in entries if e["kind"] == "set" and e["ours"] == hold.origin), None)
        if entry is None:
            raise _Cannot(f"has nothing for the set '{hold.origin}'")
        if "=" in entry["theirs"]:
            return _settings(entry["theirs"]), {}
        return {}, {entry["theirs"]: _activity_left(model, hold.origin)}
    entry = next((e for e in entries if e["kind"] == "enzyme" and e["ours"] == hold.parameter), None)
    if entry is None or hold.how != "x":
        raise _Cannot(f"has nothing for {hold.parameter}")
    return {}, dict.fromkeys(filter(None, entry["theirs"].split(";")), hold.value)


def _activity_left(model: Model, name: str) -> float:
    """MTHFR activity that a genotype set leaves in our model at rest, relative to the reference."""
    system = equations(model)
    activity = []
    for own in (model, model.with_set(name)):
        x, p = system.vectors(own.values)
        rested = rest_patients(own, p[None], x[None])
        activity.append(float(system.evaluate(["mthfr_activity"], rested.states, rested.parameters)[0, 0]))
    return activity[1] / activity[0]


def _settings(text: str) -> dict[str, float]:
    return {k: float(v) for k, v in (part.split("=") for part in text.split(";"))}


def _worker(path: Path, jobs: list[dict[str, Any]]) -> list[Answer]:
    answers: list[Answer] = in_sandbox("metabolism.cases.peer_worker:run_jobs", path, {"jobs": jobs}, seconds=_PATIENCE)
    return answers
