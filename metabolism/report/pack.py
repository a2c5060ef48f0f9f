"""The validation pack: requirements with risk and tests, what this installation is and does, and what changed since.

Installation, operation and performance are tried here and now; tests are those of the repository, with their results
only where a JUnit file of a run says so. A release leaves a record (``<version>.json``), which the next compares with.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import platform
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import distribution, distributions
from importlib.resources import files
from pathlib import Path
from statistics import median
from timeit import repeat
from typing import Any

import numpy as np
import xarray as xr

from metabolism.cases import Board, known_misfits, qualify, read_cases
from metabolism.data import experiments_dir, models_dir
from metabolism.errors import OutputError, ProvenanceError
from metabolism.exports import model_fingerprint
from metabolism.files import complete_folder, render, write_text
from metabolism.model import load, model_settings
from metabolism.progress import Progress
from metabolism.report.evidence import link_problem
from metabolism.report.inspection import checks
from metabolism.report.registry import known_gaps
from metabolism.sbml import differences
from metabolism.simulation import area, half_life, simulate
from metabolism.units import magnitude

PACKAGE = "als-methionine"
MAIN = "50 mg im every 3.5 d x 32"

#: Relative difference below which a board row counts as unmoved: that of the engines among each other.
UNMOVED = 1e-6

Rows = list[dict[str, Any]]


_sha = hashlib.sha256


def _template() -> dict[str, Any]:
    return tomllib.loads((files("metabolism.report") / "templates" / "pack.toml").read_text(encoding="utf-8"))


def requirements(outcomes: Mapping[str, str] | None = None) -> Rows:
    """Return every requirement with its risk, and what each test that covers it gave.

    Raises
    ------
    ProvenanceError
        If a link does not resolve; an installed package has no tests to look for.
    """
    rows: Rows = _template()["requirement"]
    checkout = (experiments_dir().parent / "tests").is_dir()
    problems = [f"{r['id']}: {p}" for r in rows if checkout for link in r["links"] if (p := link_problem(link))]
    if problems:
        raise ProvenanceError(f"the validation pack cannot be written: {'; '.join(problems)}.")
    known = outcomes or {}
    return [r | {"tests": {link: known.get(link, "not run here") for link in r["links"]}} for r in rows]


def junit_outcomes(path: Path) -> dict[str, str]:
    """Read what a run of the tests gave (``pytest --junit-xml``): the worst outcome of each test, parametrised or not.

    Raises
    ------
    OutputError
        If the file cannot be read as JUnit XML.
    """
    try:
        cases = ET.parse(path).getroot().iter("testcase")
    except (OSError, ET.ParseError) as error:
        raise OutputError(f"'{path}' is no JUnit file ({error}); write one with `pytest --junit-xml {path}`.") from None
    worst: dict[str, str] = {}
    for case in cases:
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        file = case.get("classname", "").replace(".", "/") + ".py"
        for key in (f"{file}::{case.get('name', '').partition('[')[0]}", file):
            if worst.get(key) != "failed" and (outcome == "failed" or worst.get(key) != "passed"):
                worst[key] = outcome
    return worst


def installed_files() -> tuple[dict[str, str], str]:
    """Return the SHA-256 of every file of code, model and experiments, and what the record of the installer says."""
    roots = (Path(__file__).parents[1], models_dir(), experiments_dir())
    paths = [
        (root, p) for root in roots for p in sorted(root.rglob("*")) if p.is_file() and "__pycache__" not in p.parts
    ]
    found = {f"{root.name}/{p.relative_to(root).as_posix()}": _sha(p.read_bytes()).hexdigest() for root, p in paths}
    recorded = [f for f in distribution(PACKAGE).files or [] if f.hash and f.parts[0] == "metabolism"]
    if not any(Path(str(f.locate())) == Path(__file__) for f in recorded):
        return found, "installed from a checkout: no record to compare with"
    wrong = [str(f) for f in recorded if f.hash and f.hash.value != _recorded(Path(str(f.locate())))]
    return found, f"FAIL: differ from the record: {', '.join(wrong)}" if wrong else "as recorded by the installer"


def _recorded(path: Path) -> str:
    """Digest of a file as installers write it, or nothing where there is no file."""
    return base64.urlsafe_b64encode(_sha(path.read_bytes()).digest()).rstrip(b"=").decode() if path.is_file() else ""


def self_checks() -> Rows:
    """Return closed forms beside what this installation computes; each with the relative tolerance it must meet."""
    model, times = load(), np.linspace(0.0, 3.0, 13)
    run = simulate(model, "50 mg im", 3, times=times, outputs=["depot_im"], rtol=1e-10)
    left, asked = np.asarray(run["depot_im"]), float(run.data["asked"].sum())
    k, capacity = model.values["IM_ka"], model.values["IM_K"]
    law = float((np.log(asked / left[-1]) + (asked - left[-1]) / capacity) / (k * times[-1]))
    drip = simulate(model, "5 mg iv over 2 h", 3, outputs=["CBL_INFUSION"], times=[0, 1, 3])
    share = float(drip["CBL_INFUSION"][1] / drip.data["asked"].sum())
    hours = np.concatenate([np.linspace(0, 1, 5), np.linspace(2, 40, 20)])
    curve = xr.DataArray(5 * np.exp(-0.3 * hours), dims="time", coords={"time": hours})
    patient = model.with_values(MN_k=8e-5, motor_units=1.0)
    decline = simulate(patient, None, 20_000, times=[0, 20_000], outputs=["alsfrs_r"], rtol=1e-10)["alsfrs_r"]
    gamma, n50 = patient.values["MN_gamma"], patient.values["MN_n50"]
    score = 48 * (1 + n50**gamma) / (1 + math.exp((20_000 - math.log(1 / n50) / 8e-5) * gamma * 8e-5))
    again = simulate(model, "50 mg im", 3, times=times, outputs=["depot_im"], rtol=1e-10)["depot_im"]
    rows = [
        ("a month in hours", magnitude("1 month", "h", "time"), 365.25 * 2, 1e-12),
        ("emptying of a 50 mg depot: ln(D/A) + (D - A)/K over k t", law, 1.0, 1e-6),
        ("rate of 5 mg over 2 h, of the dose [1/h]", share, 0.5, 1e-9),
        ("half-life of exp(-0.3 t) [h]", half_life(curve, 2, 40), math.log(2) / 0.3, 1e-9),
        ("area of 5 exp(-0.3 t) over 40 h", area(curve), 5 / 0.3 * (1 - math.exp(-12)), 1e-9),
        ("ALSFRS-R after 20,000 h of untreated logistic decline", float(decline[-1]), score, 1e-6),
        ("the same run again, largest difference", float(abs(again - left).max()), 0.0, 0.0),
    ]
    return [
        {"name": name, "computed": got, "exact": want, "rtol": r, "passed": abs(got - want) <= r * abs(want)}
        for name, got, want, r in rows
    ]


def release_record(board: Board, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the next release is compared with: every row of the board, and the fingerprint."""
    rows = {row["id"]: row for case in board.as_json()["cases"] for row in case["rows"]}
    kept = {key: {"simulated": row["simulated"], "passed": row["passed"]} for key, row in rows.items()}
    return {"version": distribution(PACKAGE).version, "model": board.model, "board": kept, "fingerprint": fingerprint}


def compare_releases(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return every row of the board beside that of an earlier release, and where the fingerprints differ.

    Examples
    --------
    >>> one = {"version": "1", "board": {"a": {"simulated": 1.0, "passed": True}}, "fingerprint": {}}
    >>> two = {"version": "2", "board": {"a": {"simulated": 3.0, "passed": False}}, "fingerprint": {}}
    >>> compare_releases(one, two)["board"]
    [{'row': 'a', 'before': 1.0, 'now': 3.0, 'word': 'FAILS NOW'}]
    """
    rows: Rows = []
    old, new = before["board"], now["board"]
    for key in [*new, *(k for k in old if k not in new)]:
        a, b = old.get(key), new.get(key)
        word = "new row" if a is None else "row gone" if b is None else _word(a, b)
        rows.append({"row": key, "before": a and a["simulated"], "now": b and b["simulated"], "word": word})
    lines = differences(before["fingerprint"], now["fingerprint"])
    return {"with": before["version"], "board": rows, "fingerprint": lines}


def _word(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    if a["passed"] != b["passed"]:
        return "passes now" if b["passed"] else "FAILS NOW"
    x, y = (math.nan if row["simulated"] is None else row["simulated"] for row in (a, b))
    return "same" if (x != x and y != y) or abs(x - y) <= UNMOVED * abs(x) else "moved"


def _seconds() -> float:
    """Median wall time of the main run, after one that compiles [s]."""
    taken = repeat(lambda: simulate(load(), MAIN, "16 weeks", outputs=["alsfrs_r"]), repeat=6, number=1)
    return median(taken[1:])


def _earlier(path: Path | None) -> Any:
    """Read the record of an earlier release: the one named, or the newest stored; None where there is none."""
    from packaging.version import Version

    stored = (experiments_dir().parent / "docs" / "evidence" / "releases").glob("*.json")
    path = path or max(stored, key=lambda p: Version(p.stem), default=None)
    try:
        record: Any = json.loads(path.read_text("utf-8-sig")) if path else None
        if path and not {"version", "board", "fingerprint"} <= record.keys():
            raise ValueError("it has no board or no fingerprint")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        remedy = "a validation pack holds one, named <version>.json"
        raise OutputError(f"'{path}' is no record of a release ({error}); {remedy}.") from None
    return record


def write_pack(
    folder: Path,
    findings: Sequence[Mapping[str, str]],
    *,
    against: Path | None = None,
    junit: Path | None = None,
    force: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """Write the pack of this installation into a folder, which appears only when complete, and return its content.

    It gets ``pack.html``, ``pack.json``, ``<version>.json`` (the record of this release), ``files.sha256`` (what is
    installed) and ``SHA256SUMS`` (the pack itself).

    Parameters
    ----------
    folder : Path
    findings : sequence of mapping
        Of ``metabolism doctor``: state, subject, text, remedy.
    against, junit : Path, optional
        Record of an earlier release (by default the newest under ``docs/evidence/releases``); results of the tests.
    force : bool
        An earlier pack gives way.

    Raises
    ------
    OutputError
        If the folder or a file named cannot be used.
    ProvenanceError
        If a requirement names a test that is not there.
    """
    before = _earlier(against)
    traced = requirements(junit_outcomes(junit) if junit else None)
    with complete_folder(folder, replace=force) as part:
        tick = progress("parts of the pack", 4)
        hashes, record = installed_files()
        versions = dict(sorted((d.name, d.version) for d in distributions()))
        looked = [(c, *c.outcome()) for c in checks()]
        operation = [
            {"name": c.name, "expectation": c.expectation, "problems": p, "not_done": undone} for c, p, undone in looked
        ]
        exact = self_checks()
        tick(1)
        model = load()
        rows, begun = read_cases(model), time.perf_counter()
        board = qualify(model, rows)
        seconds = time.perf_counter() - begun
        tick(1)
        now = release_record(board, model_fingerprint(model))
        tick(1)
        limit, taken = _template()["criteria"]["run_seconds"], _seconds()
        must = [{"case": c.id, "rows": len(c.verdicts), "passed": c.passed} for c in board.cases if c.must_pass]
        failing = {v.row.id: known_misfits().get(v.row.id, "no cause stated") for v in board.verdicts if not v.passed}
        sound = not any(c["problems"] for c in operation) and all(r["passed"] for r in exact)
        verdict = {
            "installation": not record.startswith("FAIL") and all(f["state"] != "FAIL" for f in findings),
            "operation": None if sound and any(c["not_done"] for c in operation) else sound,
            "performance": board.passed and taken <= limit,
            "tests": all(o == "passed" for r in traced for o in r["tests"].values()) if junit else None,
        }
        pack: dict[str, Any] = {
            **{key: model_settings()[key] for key in ("title", "limits")},
            "package": f"{PACKAGE} {now['version']}",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.platform()}, Python {platform.python_version()}",
            "model": board.model,
            "verdict": verdict,
            "requirements": traced,
            "junit": str(junit) if junit else None,
            "installation": {"findings": list(findings), "versions": versions, "record": record, "files": len(hashes)},
            "operation": {"checks": operation, "closed_forms": exact},
            "performance": {"must_pass": must, "counts": board.counts(), "board_seconds": round(seconds, 2)}
            | {"run_seconds": round(taken, 4), "run_seconds_at_most": limit},
            "gaps": {"claims": known_gaps(), "rows": failing},
            "comparison": compare_releases(before, now) if before else None,
        }
        listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
        pack["installation"]["digest"] = _sha(listing.encode()).hexdigest()
        texts = {
            "files.sha256": listing,
            "pack.json": json.dumps(pack, indent=1, ensure_ascii=False),
            f"{now['version']}.json": json.dumps(now, separators=(",", ":"), sort_keys=True),
        }
        sums = {name: _sha(text.encode()).hexdigest() for name, text in texts.items()}
        texts["pack.html"] = render("metabolism.report", "pack.html", pack=pack, sums=sums)
        sums["pack.html"] = _sha(texts["pack.html"].encode()).hexdigest()
        texts["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        for name, text in texts.items():
            write_text(part / name, text)
        tick(1)
    return pack
