"""Measure the fast engine against other tools on one problem and write ``docs/performance.md``.

    python benchmarks/bench.py                          libRoadRunner, COPASI, scipy
    python benchmarks/bench.py --with amici --with desolve
    python benchmarks/bench.py --with amici --python amici=/path/to/python

Every tool integrates the same patients, from the same resting states, under the same doses, and is timed at the
loosest tolerance of a ladder at which it reaches the same accuracy: `ACCURACY` relative, on every output at every
time. Tools take turns, each in a process of its own; the clock is CPU time, so that other work on the machine
disturbs it little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import metabolism as mb
from metabolism.engines import Problem, Run, dependence, get_engine, kernel
from metabolism.exports import sbml_text
from metabolism.files import write_text
from metabolism.sbml import Equations, Expressions, Reaction
from metabolism.simulation import Study

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
REGIMEN, HOURS = "50 mg im every 3.5 d x 32", 2688.0
OUTPUTS = ("hcy_plasma", "cbl_plasma", "alsfrs_r")
#: Relative accuracy at which tools are compared.
ACCURACY = 1e-5
#: Daily, away from the doses, where the value depends on which side of a dose is meant.
TIMES = np.arange(7.0, HOURS, 24.0)
LADDER = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7, 3e-8, 1e-8, 1e-9, 1e-10)
VARIED = ("MN_k", "GFR_rel", "CBL_CLf", "IM_ka", "FOLATE_DIET_rate", "CBL_DIET_rate", "MTHFR_genotype")
BUILT, ASKED = ("fast", "roadrunner", "copasi", "scipy"), ("amici", "desolve")
#: Patients on whom errors are compared, the same for every tool, and on whom each tool is timed.
COMPARED = 4
COUNT = {
    "fast": 64,
    "roadrunner": COMPARED,
    "copasi": COMPARED,
    "scipy": COMPARED,
    "amici": COMPARED,
    "desolve": COMPARED,
}
NAMES = {
    "fast": "this package, `fast`",
    "roadrunner": "libRoadRunner, own loop, SBML events",
    "copasi": "COPASI through basico, SBML events",
    "scipy": "scipy LSODA, generated Python rates and Jacobian",
    "amici": "AMICI (CVODES, KLU), SBML events",
    "desolve": "R deSolve LSODA, compiled rates",
}


@dataclass
class Measured:
    """One tool: its version; per tolerance the error and the seconds per patient, first and each round."""

    tool: str
    version: str = ""
    memory: float = 0.0
    errors: dict[float, float] = field(default_factory=dict)
    tried: dict[float, float] = field(default_factory=dict)
    seconds: dict[float, list[float]] = field(default_factory=dict)
    problem: str = ""

    @property
    def rtol(self) -> float | None:
        """Loosest tolerance of the ladder that reaches the accuracy."""
        return next((r for r in sorted(self.errors, reverse=True) if self.errors[r] <= ACCURACY), None)

    @property
    def cost(self) -> float:
        """Median over the rounds [s per patient]."""
        return statistics.median(self.seconds[self.rtol]) if self.rtol else float("nan")


def population(model: mb.Model, count: int) -> dict[str, np.ndarray]:
    """Patients that differ in kinetics, diet and rate of decline (log-SD 0.3)."""
    rng = np.random.default_rng(7)
    return {n: model.values[n] * np.exp(0.3 * rng.standard_normal(count)) for n in VARIED}


def trial(count: int, rtol: float = 1e-6, regimen: str | None = REGIMEN, hours: float = HOURS, times=None) -> Problem:
    """Lay out the trial for some patients."""
    model = mb.load().with_set("als_patient").with_values(MN_Emax=0.5)
    grid = TIMES[hours >= TIMES] if times is None else times
    study = Study.of(model, regimen, hours, own_baseline={"MN_hcy_ref": "hcy_plasma"}, rtol=rtol)
    return study.lay_out(population(model, count), outputs=OUTPUTS, times=grid)[0]


def take(problem: Problem, count: int, rtol: float) -> Problem:
    """The first patients at another tolerance."""
    return replace(
        problem,
        parameters=problem.parameters[:count],
        initial=problem.initial[:count],
        rtol=rtol,
        dose_scale=problem.dose_scale[:count],
        atol=problem.atol * (rtol / problem.rtol),
    )


def cpu() -> float:
    """CPU time of this process, all threads [s]."""
    return time.process_time()


def error(values: np.ndarray, reference: np.ndarray) -> float:
    """Largest relative error over patients, times and outputs."""
    return float(np.max(np.abs(values / reference - 1)))


def write_folder(folder: Path, problem: Problem, count: int) -> None:
    """Write what the peers need."""
    system = problem.equations
    model = mb.load()
    for i in range(count):
        values = dict(zip(system.parameters, problem.parameters[i], strict=True))
        values |= dict(zip(system.states, problem.initial[i], strict=True))
        own = replace(model, changed={k: float(v) for k, v in values.items()})
        (folder / f"patient_{i}.xml").write_text(
            sbml_text(own, REGIMEN, until=HOURS, start="initial"), encoding="utf-8"
        )
    (folder / "plain.xml").write_text(model.sbml, encoding="utf-8")
    content = {
        "states": system.states,
        "parameter_ids": system.parameters,
        "volume": system.volume,
        "outputs": OUTPUTS,
        "end": HOURS,
        "doses": problem.plan.boluses,
        "atol_scale": (problem.atol / problem.rtol).tolist(),
    }
    (folder / "problem.json").write_text(json.dumps(content), encoding="utf-8")
    np.savez(folder / "arrays.npz", parameters=problem.parameters[:count], initial=problem.initial[:count], times=TIMES)
    write_c(folder, system)
    volume = dict(zip(system.parameters, problem.parameters[0], strict=True))
    doses = [
        (system.states.index(s) + 1, at, amount / volume.get(system.volume.get(s, ""), 1.0))
        for at, s, amount in problem.plan.boluses
    ]
    tables = {
        "parameters": problem.parameters[:count],
        "initial": problem.initial[:count],
        "doses": doses,
        "times": TIMES,
        "atol": problem.atol / problem.rtol,
    }
    for name, table in tables.items():
        np.savetxt(folder / f"{name}.csv", np.array(table), fmt="%.17g", delimiter=",")
    (folder / "states.csv").write_text("\n".join(system.states), encoding="utf-8")


def write_c(folder: Path, system: Equations) -> None:
    """The right-hand side and the outputs as C in the form deSolve expects."""
    import sympy as sp

    place = {s: sp.Symbol(f"y[{i}]") for i, s in enumerate(system.states)}
    place |= {p: sp.Symbol(f"p[{i}]") for i, p in enumerate(system.parameters)}
    expressions = [e.doit().xreplace({sp.Symbol(k): v for k, v in place.items()}) for e in system.rhs]
    outputs = [sp.Symbol(o) if o in system.states else system.expanded[o] for o in OUTPUTS]
    expressions += [sp.sympify(e).doit().xreplace({sp.Symbol(k): v for k, v in place.items()}) for e in outputs]
    shared, reduced = sp.cse(expressions, symbols=sp.numbered_symbols("s_"), order="none")
    lines = [
        "#include <R.h>",
        "#include <math.h>",
        f"static double p[{len(system.parameters)}];",
        f"void initmod(void (*odeparms)(int *, double *)) {{ int n = {len(system.parameters)}; odeparms(&n, p); }}",
        "void derivs(int *n, double *t, double *y, double *ydot, double *out, int *ip) {",
    ]
    lines += [f"  double {name} = {sp.ccode(e)};" for name, e in shared]
    lines += [f"  ydot[{i}] = {sp.ccode(e)};" for i, e in enumerate(reduced[: len(system.states)])]
    lines += [f"  out[{i}] = {sp.ccode(e)};" for i, e in enumerate(reduced[len(system.states) :])]
    (folder / "model.c").write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


# --- tools --------------------------------------------------------------------------------------------------


def available(tool: str, python: str) -> str:
    """Return why a tool cannot run, or an empty string."""
    check = {
        "amici": [python, "-c", "import amici"],
        "desolve": ["Rscript", "--vanilla", "-e", "library(deSolve)"],
        "copasi": [python, "-c", "import basico"],
    }.get(tool)
    if check is None:
        return ""
    try:
        done = subprocess.run(check, capture_output=True, text=True, check=False)
    except OSError as problem:
        return str(problem)
    return "" if done.returncode == 0 else "not installed"


def run_here(tool: str, problem: Problem, rtol: float) -> tuple[np.ndarray, float]:
    """Run an engine of this package in this process: values, and seconds per patient."""
    part = take(problem, COUNT[tool], rtol)
    engine = get_engine(tool)
    if tool == "fast":
        engine.solve(take(problem, 4, rtol))
    begin = cpu()
    values = engine.solve(part).values
    return values, (cpu() - begin) / len(part.initial)


def run_peer(tool: str, folder: Path, rtol: float, python: str) -> tuple[np.ndarray, float, dict]:
    """Run another tool in its own process."""
    done = subprocess.run(
        [python, str(HERE / "peer.py"), tool, str(folder), repr(rtol)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    report = json.loads(done.stdout.splitlines()[-1])
    values = np.load(folder / f"{tool}.npy")[: COUNT[tool]]
    return values, statistics.mean(report["seconds"][: COUNT[tool]]), report


def measure(tools: list[str], pythons: dict[str, str], rounds: int, folder: Path, problem: Problem) -> list[Measured]:
    """Find the tolerance at which each tool reaches the accuracy, then let the tools take turns."""
    reference = get_engine("roadrunner").solve(take(problem, COMPARED, 1e-12)).values
    agree = error(get_engine("fast").solve(take(problem, COMPARED, 1e-11)).values, reference)
    print(f"references (libRoadRunner at 1e-12, fast at 1e-11) agree to {agree:.1e}")
    if agree > ACCURACY / 100:
        raise SystemExit("the two references disagree: no accuracy can be stated.")
    found = {tool: Measured(tool) for tool in tools}

    def once(tool: str, rtol: float, keep: bool) -> None:
        own = found[tool]
        if tool in ("fast", "scipy"):
            values, seconds = run_here(tool, problem, rtol)
        else:
            values, seconds, report = run_peer(tool, folder, rtol, pythons.get(tool, sys.executable))
            own.version, own.memory = report["version"], report["memory"]
        own.errors[rtol] = error(values[:COMPARED], reference)
        own.tried.setdefault(rtol, seconds)
        if keep:
            own.seconds.setdefault(rtol, []).append(seconds)
        print(
            f"{tool:<11} rtol {rtol:.0e}  error {own.errors[rtol]:.1e}  {1e3 * seconds:8.2f} ms per patient", flush=True
        )

    for tool, own in found.items():
        own.problem = available(tool, pythons.get(tool, sys.executable))
        for rtol in LADDER[0 if tool == "fast" else 2 :] if not own.problem else ():
            try:
                once(tool, rtol, keep=False)
            except (RuntimeError, subprocess.CalledProcessError, json.JSONDecodeError, OSError) as problem_:
                print(f"{tool:<11} rtol {rtol:.0e}  {str(problem_)[:150]}", flush=True)
                own.problem = str(problem_)[:150]
                continue
            own.problem = ""
            if own.rtol:
                break
    for _ in range(rounds):
        for tool, own in found.items():
            if own.rtol:
                once(tool, own.rtol, keep=True)
    return list(found.values())


# --- the fast engine alone ------------------------------------------------------------------------------------


def seconds_of(problem: Problem, repeats: int = 3) -> tuple[float, float]:
    """CPU seconds per patient of the fast engine (least of some repeats), and steps per patient."""
    compiled = kernel(problem.equations)
    best = np.inf
    for _ in range(repeats):
        run = Run(problem, compiled)
        begin = cpu()
        run.solve(None, 1)
        best = min(best, cpu() - begin)
    return best / len(problem.initial), float(run.steps.mean())


def piece(system: Equations, seed: str) -> Equations:
    """The state and everything it depends on, as a model of their own."""
    keep, reactions = dependence(system)[seed], {}
    for r in system.reactions.values():
        own = {s: k for s, k in r.stoichiometry.items() if s in keep and k}
        if own:
            reactions[r.id] = Reaction(r.id, own, system.expanded[r.id])
    rules = {
        k: e.xreplace({s: system.expanded[s.name] for s in e.free_symbols if s.name in system.expanded})
        for k, e in system.rate_rules.items()
        if k in keep
    }
    return Equations(
        f"part {seed}\n{system.sbml}",
        tuple(s for s in system.states if s in keep),
        system.parameters,
        tuple(reactions),
        system.units,
        {s: v for s, v in system.volume.items() if s in keep},
        Expressions({}, rules, reactions),
    )


def scaling() -> dict[str, list[tuple[str, float, float]]]:
    """Milliseconds and steps per patient as the problem grows."""
    rows: dict[str, list[tuple[str, float, float]]] = {}

    def add(table: str, label: str, problem: Problem) -> None:
        seconds, steps = seconds_of(problem)
        rows.setdefault(table, []).append((label, 1e3 * seconds, steps))
        print(f"{table}: {label}: {1e3 * seconds:.3f} ms, {steps:.0f} steps", flush=True)

    for count in (1, 4, 16, 64, 256):
        add("patients", str(count), trial(count, 1e-5))
    for doses in (0, 1, 8, 32, 112):
        regimen = f"50 mg im every {HOURS / max(doses, 1)!r} h x {doses}" if doses else None
        add("doses in 16 weeks", str(doses), trial(32, 1e-5, regimen))
    for weeks in (4, 16, 52):
        add(
            "weeks, a dose every 3.5 d",
            str(weeks),
            trial(32, 1e-5, f"50 mg im every 3.5 d x {2 * weeks}", weeks * 168.0),
        )
    for every in (168.0, 24.0, 1.0):
        add("hours between outputs", f"{every:g}", trial(32, 1e-5, times=np.arange(0, HOURS + 1, every)))
    whole = trial(32, 1e-5)
    system = whole.equations
    for seed in ("depot_im", "cbl_free", "holo_tc", None):
        alone = system if seed is None else piece(system, seed)
        index = [system.states.index(s) for s in alone.states]
        problem = replace(
            whole,
            equations=alone,
            outputs=alone.states[:1],
            initial=np.ascontiguousarray(whole.initial[:, index]),
            atol=whole.atol[index],
        )
        if rows.get("states") and rows["states"][-1][0] == str(len(alone.states)):
            continue
        add("states", str(len(alone.states)), problem)
    for rtol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10):
        add("relative tolerance", f"{rtol:.0e}", trial(32, rtol))
    return rows


def arithmetic(system: Equations) -> list[dict[str, float]]:
    """Floating-point operations per step and patient of each part, counted in the generated code."""
    from llvmlite import ir

    from metabolism.engines import RODAS5P, ModelCode, part, split

    module, found = ir.Module("count"), split(system)
    codes = (
        [ModelCode(system, module, 4)]
        if found is None
        else [
            ModelCode(part(system, found.upper), module, 4, label="upper_", outputs=False),
            ModelCode(part(system, found.lower), module, 4, found.upper, found.inputs, "lower_"),
        ]
    )
    body, stages = {f.name: str(f) for f in module.functions}, RODAS5P.stages
    counted = []
    for code in codes:
        names = ("rates", "factor", "solve")
        per = {n: len(re.findall(r"= f(?:add|sub|mul|div)\b", body[code.label + n])) for n in names}
        size = len(code.states)
        mixes = sum(2 * s + 2 * sum(map(bool, RODAS5P.a[s])) + 1 for s in range(1, stages)) * size
        step = per["factor"] + stages * per["solve"] + (stages - 1) * per["rates"] + mixes
        counted.append({**per, "states": size, "mixes": mixes, "step": step})
    return counted


def peak() -> float:
    """Double-precision operations per second of one core: the best matrix product of the installed BLAS."""
    a = np.random.default_rng(0).random((1200, 1200))
    best = np.inf
    for _ in range(5):
        begin = cpu()
        a @ a
        best = min(best, cpu() - begin)
    return 2 * 1200**3 / best


def big(count: int, workers: int, rtol: float) -> None:
    """Run a large trial as a user would, and print what it took (in a process of its own)."""
    model = mb.load().with_set("als_patient").with_values(MN_Emax=0.5)
    begin, busy = time.perf_counter(), cpu()
    result = mb.simulate(
        model,
        REGIMEN,
        patients=population(model, count),
        own_baseline={"MN_hcy_ref": "hcy_plasma"},
        outputs=OUTPUTS,
        times=np.arange(0, HOURS + 1, 168.0),
        workers=workers,
        rtol=rtol,
    )
    report = {
        "wall": time.perf_counter() - begin,
        "cpu": cpu() - busy,
        "failed": len(result.failures),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(report))


#: What the engine's own times are taken of: whoever changes these doors sees it in the test of this script.
DOORS = "import metabolism as mb; from metabolism.model import equations; from metabolism.engines import kernel"
READING, COMPILING = f"{DOORS}; equations(mb.load())", f"{DOORS}; kernel(equations(mb.load()))"


def fresh(code: str, cache: Path, repeats: int = 1) -> str:
    """Least time that a statement takes in a new process with a given cache, in words."""
    code = (
        f"import time; b = time.perf_counter(), time.process_time(); {code}; "
        "print(time.perf_counter() - b[0], time.process_time() - b[1])"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "LOCALAPPDATA": str(cache)}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        for _ in range(repeats)
    ]
    wall, busy = (min(float(run.stdout.split()[i]) for run in runs) for i in (0, 1))
    return f"{wall:.1f} s ({busy:.2f} s of CPU time)"


def own_process(*arguments: str) -> dict:
    """Run this script for one measurement of time and memory."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# --- the page -----------------------------------------------------------------------------------------------


def machine() -> str:
    """Processor, cores, system and Python, without naming the computer."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))
        name = found.group(1) if found else name
    return (
        f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def comparison(found: list[Measured], fast: Measured) -> str:
    """The table of tools."""
    rows = []
    for own in found:
        if own.rtol is None:
            rows.append(
                [NAMES[own.tool], own.version or "-", "-", "-", "-", "-", own.problem or "accuracy not reached"]
            )
            continue
        spread = own.seconds[own.rtol]
        rows.append(
            [
                NAMES[own.tool],
                own.version,
                f"{own.rtol:.0e}",
                f"{own.errors[own.rtol]:.1e}",
                f"{1e3 * own.cost:.2f}",
                f"{1e3 * min(spread):.2f} to {1e3 * max(spread):.2f}",
                f"{own.cost / fast.cost:.0f} x",
            ]
        )
    return table(
        ["tool", "version", "rtol", "achieved error", "ms per patient", "range", "time relative to `fast`"], rows
    )


def ladder(found: list[Measured]) -> str:
    """Achieved errors and times at every tolerance that was tried."""
    rows = [
        [NAMES[m.tool], f"{r:.0e}", f"{e:.1e}", f"{1e3 * m.tried[r]:.2f}"]
        for m in found
        for r, e in sorted(m.errors.items(), reverse=True)
    ]
    return table(["tool", "requested rtol", "achieved error", "ms per patient, one run"], rows)


def write_page(found: list[Measured], facts: dict, rows: dict, rounds: int) -> None:
    """Write ``docs/performance.md``."""
    fast = next(m for m in found if m.tool == "fast")
    counted, best = facts["flops"], facts["peak"]
    operations = sum(c["step"] * steps for c, steps in zip(counted, facts["steps"], strict=True))
    speed = operations / facts["seconds"]
    rows_of_parts = [
        [f"{c['states']:.0f}", f"{steps:.0f}", *(f"{c[n]:.0f}" for n in ("rates", "factor", "solve", "mixes", "step"))]
        for c, steps in zip(counted, facts["steps"], strict=True)
    ]
    parts = [
        "# Performance",
        "Written by `make bench` (`benchmarks/bench.py`); do not edit. Timings are never asserted in tests.",
        f"Machine: {machine()}. Times are CPU times, so that other work on the machine disturbs them little; its "
        f"caches and "
        f"memory are shared all the same. Load when measured: {facts['load']}; wall times are those of a machine "
        f"that was busy so.",
        f"Problem: {len(facts['system'].states)} states, {len(facts['system'].reactions)} reactions, 16 weeks, 32 "
        f"doses of 50 mg, "
        "patients with log-SD 0.3 in kinetics, diet and rate of decline, each from its own resting state; daily "
        "values of "
        "total homocysteine, total cobalamin and ALSFRS-R.",
        "## Against other tools, at the same achieved accuracy",
        f"Every tool runs at the loosest tolerance of 1e-4, 3e-5, 1e-5, ... at which its largest relative error over "
        f"the same {COMPARED} patients, all days and "
        f"the three outputs is at most {ACCURACY:.0e}, against CVODE at 1e-12. Medians of {rounds} rounds in which "
        f"the tools "
        "take turns. One core. The clock of the other tools runs during integration only; that of `fast` includes "
        "reading parameters and writing results.",
        comparison(found, fast),
        ladder(found),
        "Absolute tolerances are 0.01 x rtol x the scale of each state; COPASI and AMICI take one number for all "
        "states, the smallest of these, which costs them time where states are large.",
        "The ratio is no constant. It comes from the doses: each starts a transient of the cobalamin carriers over "
        "nine decades "
        "of time scale, where a multistep method restarts at order one and a one-step method does not. With looser "
        "accuracy the "
        "multistep tools save little and `fast` saves much, so the ratio rises; with fewer doses it falls.",
        "## Large trials",
        "Weekly values of the three outputs at the default tolerance; imports and resting states included.",
        table(["patients", "workers", "wall time [s]", "CPU time [s]", "peak memory [MB]", "failed"], facts["big"]),
        facts["speedup"],
        f"Compilation of the shipped model into an empty cache, from a new process: {facts['compile']}; from the "
        f"cache: "
        f"{facts['cached']}, of which reading the model and its equations takes {facts['reading']}.",
        f"Resting states: {facts['rest']:.3f} ms per patient on one core, residual verified.",
        f"Sensitivities of 3 endpoints to {len(VARIED)} parameters over 16 weeks: {facts['sensitivity']:.0f} ms per "
        f"patient.",
    ]
    parts.append(
        "## How the cost grows\n\nCPU milliseconds per patient on one core at rtol 1e-5 (least of three runs), and "
        "steps, refused ones included."
    )
    for name, own in rows.items():
        parts.append(table([name, "ms per patient", "steps"], [[a, f"{b:.2f}", f"{c:.0f}"] for a, b, c in own]))
    parts += [
        "A batch smaller than the vector (4 patients on this processor) pays for the empty lanes. Outputs cost "
        "little because "
        "they are interpolated; doses cost steps because each starts a fast transient. `states` are the parts of the "
        "model "
        "that the state named first depends on alone.",
        "## Distance to the limit",
        "Floating-point operations per patient, counted in the generated code before optimisation, in the part that "
        "drives "
        "and the part that is driven (a step takes rates 7 times and solves 8 times):",
        table(
            ["states", "steps", "rates", "Jacobian and factors", "solve", "combinations of stages", "a step"],
            rows_of_parts,
        ),
        f"Together {operations / 1e6:.1f} million in {1e3 * facts['seconds']:.2f} ms: {speed / 1e9:.1f} GFLOP/s, "
        f"{100 * speed / best:.0f} % of the {best / 1e9:.1f} GFLOP/s of a dense matrix product on the same core.",
        "A matrix product has two fused operations per cycle and no divisions; here sums and products are mostly not "
        "fused, "
        "a solve is a chain of dependent operations, and a fifth of the instructions move values between registers "
        "and memory.",
        "What was tried to go further is in [decision 5](decisions/0005-fast-engine.md).",
    ]
    write_text(PAGE, "\n\n".join(parts) + "\n")
    print(f"written: {PAGE}")


def facts_of_fast(quick: bool) -> dict:
    """Everything the page says about the engine alone."""
    facts: dict = {"load": f"{os.getloadavg()[0]:.1f} busy processes" if hasattr(os, "getloadavg") else "unknown"}
    with tempfile.TemporaryDirectory() as cache:
        facts["compile"] = fresh(COMPILING, Path(cache))
        facts["cached"] = fresh(COMPILING, Path(cache), 3)
        facts["reading"] = fresh(READING, Path(cache), 3)
    one, sizes = trial(32, 1e-5), (200, 400) if quick else (1000, 10000)
    facts["system"] = one.equations
    facts["flops"], facts["peak"] = arithmetic(one.equations), peak()
    run = Run(one, kernel(one.equations))
    run.solve(None, 1)
    facts["seconds"], facts["steps"] = seconds_of(one)[0], run.counts
    runs = {(n, w): own_process("--big", str(n), str(w)) for n in sizes for w in (1, 2)}
    facts["big"] = [
        [str(n), str(w), f"{r['wall']:.1f}", f"{r['cpu']:.1f}", f"{r['memory']:.0f}", str(r["failed"])]
        for (n, w), r in runs.items()
    ]
    one_, two = (runs[sizes[1], w]["wall"] for w in (1, 2))
    work = runs[sizes[1], 2]["cpu"] / runs[sizes[1], 1]["cpu"]
    facts["speedup"] = (
        f"With {sizes[1]} patients two workers are {one_ / two:.2f} times as fast as one "
        f"by the wall clock and use {work:.2f} times its CPU time, so two free cores would give up to {2 / work:.2f}."
    )
    model, count = mb.load().with_set("als_patient"), 50 if quick else 500
    patients = population(model, count)
    mb.steady_states(model, patients)
    begin = cpu()
    mb.steady_states(model, patients)
    facts["rest"] = 1e3 * (cpu() - begin) / count
    wanted = {"a": ("max", "cbl_free"), "b": ("auc", "hcy_plasma"), "c": ("final", "alsfrs_r")}
    few = {n: v[:8] for n, v in patients.items()}
    mb.sensitivities(model, VARIED, REGIMEN, endpoints=wanted, patients={n: v[:1] for n, v in few.items()})
    begin = cpu()
    mb.sensitivities(model, VARIED, REGIMEN, endpoints=wanted, patients=few)
    facts["sensitivity"] = 1e3 * (cpu() - begin) / 8
    return facts


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--with", action="append", default=[], dest="extra", choices=ASKED, help="also measure this tool"
    )
    parser.add_argument("--python", action="append", default=[], metavar="TOOL=PATH", help="Python that has the tool")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small ensembles; writes no page")
    parser.add_argument("--big", nargs=2, type=int, metavar=("PATIENTS", "WORKERS"), help="one large trial, as JSON")
    given = parser.parse_args(arguments)
    if given.big:
        big(*given.big, rtol=1e-6)
        return 0
    pythons = dict(text.split("=", 1) for text in given.python)
    tools = [t for t in (*BUILT, *ASKED) if t in BUILT or t in given.extra]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problem = trial(max(COUNT.values()), 1e-6)
        write_folder(folder, problem, COMPARED)
        if "desolve" in tools:
            subprocess.run(["R", "CMD", "SHLIB", "model.c"], cwd=folder, check=False, capture_output=True)
        found = measure(tools, pythons, given.rounds, folder, problem)
    for own in found:
        own.version = own.version or {"fast": mb.__version__}.get(own.tool, "")
        if own.tool == "scipy":
            import scipy

            own.version = scipy.__version__
    for tool in set(ASKED) - set(given.extra):
        found.append(Measured(tool, problem="not asked for"))
    facts, rows = facts_of_fast(given.quick), scaling()
    if not given.quick:
        write_page(found, facts, rows, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
