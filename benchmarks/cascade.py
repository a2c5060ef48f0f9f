"""What two parts with steps of their own gain over the whole model: the measurement behind decision 5.

Cobalamin drives metabolism and is not driven by it, so the fast engine integrates it first. The program runs the
same patients that way and as one system, in turns, and states the ratio of times at the same achieved error.

    python benchmarks/cascade.py
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
from bench import ACCURACY, OUTPUTS, cpu, error, take, trial

from metabolism.engines import Kernel, Problem, Run, kernel
from metabolism.engines.ensemble.code import cascade as fast_split
from metabolism.sbml import Expressions

PATIENTS, ROUNDS = 64, 9
TOLERANCES = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 1e-7)


def as_one(problem: Problem) -> Kernel:
    """The kernel of the model as if it could not be split, under a name of its own."""
    system = problem.equations
    known = Expressions(system.rules, system.rate_rules, system.reactions)
    find, fast_split.split = fast_split.split, lambda equations: None
    try:
        return kernel(replace(system, sbml=f"whole\n{system.sbml}", given=known))
    finally:
        fast_split.split = find


def main() -> None:
    """Print errors and times of both ways, and the gain at the accuracy of the benchmark."""
    problem = trial(PATIENTS, 1e-6)
    kernels = {"whole": as_one(problem), "two parts": kernel(problem.equations)}
    reference = Run(take(problem, PATIENTS, 1e-11), kernels["whole"]).solve(None, 1).values
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in kernels}
    for rtol in TOLERANCES:
        asked, times = take(problem, PATIENTS, rtol), {name: [] for name in kernels}
        runs = {name: Run(asked, compiled) for name, compiled in kernels.items()}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                begin = cpu()
                values = run.solve(None, 1).values
                times[name].append(1e3 * (cpu() - begin) / PATIENTS)
                if len(times[name]) == ROUNDS:
                    curves[name].append((error(values, reference), statistics.median(times[name])))
                    each = ", ".join(
                        f"{o} {error(values[..., k], reference[..., k]):.1e}" for k, o in enumerate(OUTPUTS)
                    )
                    steps = " + ".join(f"{count:.0f}" for count in run.counts)
                    print(
                        f"rtol {rtol:.0e} {name:<9} error {curves[name][-1][0]:.1e} ({each}), {steps} steps, "
                        f"{curves[name][-1][1]:.2f} ms ({min(times[name]):.2f} to {max(times[name]):.2f})",
                        flush=True,
                    )
    for wanted in (ACCURACY, ACCURACY / 10):
        cost = {}
        for name, curve in curves.items():
            errors, times_ = (np.log(column) for column in zip(*sorted(curve), strict=True))
            cost[name] = float(np.exp(np.interp(np.log(wanted), errors, times_)))
        print(
            f"at an achieved error of {wanted:.0e}: "
            + ", ".join(f"{n} {c:.2f} ms" for n, c in cost.items())
            + f", gain {cost['whole'] / cost['two parts']:.2f}"
        )


if __name__ == "__main__":
    main()
