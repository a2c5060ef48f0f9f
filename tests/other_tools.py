"""Run an exported file in another tool, in a process of its own.

Each tool sees the file and nothing else of this project. Amounts come back as amounts, concentrations as they are.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent


def run_in(tool: str, file: Path, until: float, grids: list[int], outputs: list[str]) -> list[pd.DataFrame]:
    """Simulate a file in another tool, on grids of so many steps; a crash there is a failure here, not the end."""
    target = file.with_suffix(f".{tool}.csv")
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "tests.other_tools",
            tool,
            str(file),
            str(target),
            repr(until),
            ",".join(map(str, grids)),
            ",".join(outputs),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{tool}: {done.stderr[-2000:]}"
    table = pd.read_csv(target)
    return [rows.drop(columns="grid").reset_index(drop=True) for _, rows in table.groupby("grid", sort=False)]


def _kinds(sbml: str, outputs: list[str]) -> dict[str, str]:
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    content = document.getModel()
    kinds = {}
    for name in outputs:
        species = content.getSpecies(name)
        kinds[name] = (
            "other" if species is None else "amount" if species.getHasOnlySubstanceUnits() else "concentration"
        )
    return kinds


def _roadrunner(runner, until: float, steps: int, outputs: list[str], kinds: dict[str, str]) -> pd.DataFrame:
    runner.resetToOrigin()
    states = runner.model.getNumFloatingSpecies() + runner.model.getNumRateRules()
    runner.integrator.setValue("relative_tolerance", 1e-10)
    runner.integrator.setValue("absolute_tolerance", [1e-16] * states)
    runner.integrator.setValue("maximum_num_steps", 200_000)
    picks = [f"[{n}]" if kinds[n] == "concentration" else n for n in outputs]
    runner.timeCourseSelections = ["time", *picks]
    times = np.linspace(0.0, until, steps + 1)
    rows = np.array(runner.simulate(times=times.tolist()))
    # events add rows of their own: keep the last row of each time
    _, last = np.unique(rows[::-1, 0], return_index=True)
    rows = rows[::-1][last]
    rows = rows[np.isin(rows[:, 0], times)]
    return pd.DataFrame(rows, columns=["time", *outputs])


def _copasi(file: str, until: float, steps: int, outputs: list[str], kinds: dict[str, str]) -> pd.DataFrame:
    import basico
    import libsbml

    basico.load_model(file)
    frame = basico.run_time_course(
        start_time=0,
        duration=until,
        intervals=steps,
        automatic=False,
        use_sbml_id=True,
        update_model=False,
        method="deterministic",
        r_tol=1e-9,
        a_tol=1e-15,
        max_steps=1_000_000,
    ).reset_index()
    document = libsbml.readSBMLFromFile(file)
    content = document.getModel()
    table = {"time": frame["Time"]}
    for name in outputs:
        column = next(c for c in (name, f"Values[{name}]") if c in frame)
        # COPASI reports every species as a concentration
        species = content.getSpecies(name)
        size = content.getCompartment(species.getCompartment()).getSize() if kinds[name] == "amount" else 1.0
        table[name] = frame[column] * size
    return pd.DataFrame(table)


def _run(tool: str, file: str, until: float, grids: list[int], outputs: list[str]) -> pd.DataFrame:
    text = Path(file).read_text(encoding="utf-8")
    if tool == "copasi":
        kinds = _kinds(text, outputs)
        frames = [_copasi(file, until, steps, outputs, kinds) for steps in grids]
    else:
        if tool == "roadrunner":
            import roadrunner

            runner = roadrunner.RoadRunner(text)
        else:
            import tellurium

            runner = tellurium.loada(text) if tool == "antimony" else tellurium.loadSBMLModel(text)
        kinds = _kinds(runner.getSBML(), outputs)
        frames = [_roadrunner(runner, until, steps, outputs, kinds) for steps in grids]
    return pd.concat([frame.assign(grid=i) for i, frame in enumerate(frames)])


if __name__ == "__main__":
    name, path, target, end, counts, ids = sys.argv[1:]
    table = _run(name, path, float(end), [int(c) for c in counts.split(",")], ids.split(","))
    table.to_csv(target, index=False, float_format="%.17g")
