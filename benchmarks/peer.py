"""Integrate the benchmark problem with one tool in a process of its own: ``peer.py TOOL FOLDER RTOL``.

Only the tool itself is imported, so that it may live in another Python. The folder holds

- ``problem.json``: ids, output times [h], dose times [h], amount and state, tolerance scales;
- ``arrays.npz``: parameters and initial states of every patient;
- ``patient_<i>.xml``: each patient as SBML with the doses as events; ``plain.xml``: the model without doses.

Values go to ``<tool>.npy`` (patients, times, outputs); versions, CPU time per patient [s] and memory [MB] to stdout.
The clock runs while patients are integrated, not while a model is loaded or compiled.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


class Problem:
    """What is in the folder."""

    def __init__(self, folder: Path, rtol: float) -> None:
        self.folder, self.rtol = folder, rtol
        self.__dict__ |= json.loads((folder / "problem.json").read_text(encoding="utf-8"))
        arrays = np.load(folder / "arrays.npz")
        self.parameters, self.initial, self.times = arrays["parameters"], arrays["initial"], arrays["times"]
        self.atol = rtol * np.array(self.atol_scale)
        self.count = len(self.initial)


def roadrunner(p: Problem):
    """libRoadRunner's own loop: doses as SBML events, one `simulate` per patient."""
    import roadrunner as rr

    rr.Logger.setLevel(rr.Logger.LOG_CRITICAL)
    runner = rr.RoadRunner(str(p.folder / "patient_0.xml"))
    name = {s: f"[{s}]" if s in p.volume else s for s in [*p.states, *p.outputs]}
    order = [runner.model.getStateVectorId(i) for i in range(len(p.states))]
    size = dict(zip(p.parameter_ids, p.parameters[0], strict=True))
    tolerance = dict(zip(p.states, p.atol, strict=True))
    runner.integrator.setValue("maximum_num_steps", 1_000_000)
    runner.integrator.setValue("relative_tolerance", p.rtol)
    runner.integrator.setValue("absolute_tolerance", [tolerance[s] * size.get(p.volume.get(s), 1.0) for s in order])
    runner.timeCourseSelections = [name[o] for o in p.outputs]
    grid = [0.0, *p.times.tolist(), p.end]

    def one(i):
        runner.resetToOrigin()
        for key, value in zip(p.parameter_ids, p.parameters[i], strict=True):
            runner.setValue(key, float(value))
        # the dose at time 0 has fired in the reset already: move the states, do not set them
        for key, own, first in zip(p.states, p.initial[i], p.initial[0], strict=True):
            if own != first:
                runner.setValue(name[key], float(runner.getValue(name[key]) + own - first))
        begin = time.process_time()
        rows = np.array(runner.simulate(times=grid))
        return time.process_time() - begin, rows[1:-1]

    return one, rr.__version__


def copasi(p: Problem):
    """COPASI's LSODA through basico, doses as SBML events; only the time course is timed."""
    import basico

    def one(i):
        model = basico.load_model(str(p.folder / f"patient_{i}.xml"))
        settings = {"r_tol": p.rtol, "a_tol": float(p.atol.min()), "max_steps": 1_000_000}
        begin = time.process_time()
        frame = basico.run_time_course(
            values=[0.0, *p.times.tolist(), p.end], use_sbml_id=True, model=model, **settings
        )
        seconds = time.process_time() - begin
        basico.remove_datamodel(model)
        return seconds, frame[list(p.outputs)].to_numpy()[1:-1]

    return one, basico.COPASI.__version__


def amici(p: Problem):
    """AMICI (CVODES with KLU, compiled without sensitivities), doses as SBML events."""
    # the swig that built AMICI must be found before any other
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    import amici
    from amici.importers.sbml import SbmlImporter
    from amici.sim.sundials import SensitivityOrder, run_simulation

    folder = p.folder / "amici_model"
    if not folder.exists():
        SbmlImporter(str(p.folder / "patient_0.xml")).sbml2amici(
            "als", str(folder), generate_sensitivity_code=False, compute_conservation_laws=False
        )
    model = amici.import_model_module("als", str(folder)).get_model()
    model.set_timepoints(p.times.tolist())
    solver = model.create_solver()
    solver.set_sensitivity_order(SensitivityOrder.none)
    solver.set_relative_tolerance(p.rtol)
    solver.set_absolute_tolerance(float(p.atol.min()))
    solver.set_max_steps(1_000_000)
    logging.getLogger("amici").setLevel(logging.ERROR)
    known, states = set(model.get_free_parameter_ids()), list(model.get_state_ids())
    columns = [list(model.get_observable_ids()).index(f"y{o}") for o in p.outputs]

    def one(i):
        for key, value in zip(p.parameter_ids, p.parameters[i], strict=True):
            if key in known:
                model.set_free_parameter_by_id(key, float(value))
        own = dict(zip(p.states, p.initial[i], strict=True))
        start = dict(zip(states, model.get_initial_state(), strict=True))
        model.set_initial_state([own.get(s, start[s]) for s in states])
        begin = time.process_time()
        found = run_simulation(model, solver)
        seconds = time.process_time() - begin
        if found.status < 0:
            raise RuntimeError(f"status {found.status}")
        return seconds, np.array(found.y)[:, columns]

    return one, amici.__version__


def desolve(p: Problem):
    """R deSolve: LSODA on the compiled right-hand side, doses as a table of events."""
    done = subprocess.run(
        ["Rscript", "--vanilla", str(Path(__file__).with_name("desolve.R")), str(p.folder), repr(p.rtol)],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout.splitlines()[-1])
    values = np.loadtxt(p.folder / "desolve.csv", delimiter=",").reshape(p.count, len(p.times), len(p.outputs))
    return (lambda i: (report["seconds"][i], values[i])), f"{report['version']} (R {report['r']})"


TOOLS = {"roadrunner": roadrunner, "copasi": copasi, "amici": amici, "desolve": desolve}


def main() -> None:
    """Run one tool and print what it took."""
    tool, folder, rtol = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    problem = Problem(folder, rtol)
    one, version = TOOLS[tool](problem)
    one(0)
    runs = [one(i) for i in range(problem.count)]
    np.save(folder / f"{tool}.npy", np.array([values for _, values in runs]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"version": version, "seconds": [seconds for seconds, _ in runs], "memory": memory}))


if __name__ == "__main__":
    main()
