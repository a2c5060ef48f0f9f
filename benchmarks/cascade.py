"""What two parts with steps of their own gain over the whole model: the measurement behind decision 5.

Cobalamin drives metabolism and is not driven by it, so the fast engine integrates it first. The program runs the
same patients that way and as one system, in turns, and states times at the same achieved error.

    python benchmarks/cascade.py
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
from bench import cpu, error, take, trial

from metabolism.engines import fast_split
from metabolism.engines.fast_compile import kernel
from metabolism.engines.fast_run import Run
from metabolism.equations import Expressions

PATIENTS, ROUNDS = 64, 9
TOLERANCES = (1e-4, 3e-5, 2e-5, 1e-5, 3e-6, 1e-6, 1e-7)
NAMES = ("whole", "in two parts")


def main() -> None:
    """Print errors and times of both ways, and the gain at the accuracy of the benchmark."""
    problem = trial(PATIENTS, 1e-6)
    # compiled under another name as if it could not be split
    system = problem.equations
    known = Expressions(system.rules, system.rate_rules, system.reactions)
    once = replace(system, sbml=f"whole\n{system.sbml}", given=known)
    find, fast_split.split = fast_split.split, lambda equations: None
    kernels = {NAMES[0]: kernel(once)}
    fast_split.split = find
    kernels[NAMES[1]] = kernel(problem.equations)
    reference = Run(take(problem, PATIENTS, 1e-11), kernels["whole"]).solve(None, 1).values
    errors: dict[tuple[str, float], float] = {}
    for rtol in TOLERANCES:
        asked, seconds, steps = take(problem, PATIENTS, rtol), {n: [] for n in NAMES}, {}
        for _ in range(ROUNDS):
            for name, compiled in kernels.items():
                run = Run(asked, compiled)
                begin = cpu()
                values = run.solve(None, 1).values
                seconds[name].append(1e3 * (cpu() - begin) / PATIENTS)
                steps[name], errors[name, rtol] = run.counts, error(values, reference)
                own = [f"{np.max(np.abs(values[..., k] / reference[..., k] - 1)):.1e}" for k in range(3)]
                if len(seconds[name]) == ROUNDS:
                    print(
                        f"rtol {rtol:.0e} {name:<12} error {errors[name, rtol]:.1e} {own} ms {statistics.median(seconds[name]):.2f} "
                        f"({min(seconds[name]):.2f} to {max(seconds[name]):.2f}) steps {steps[name]}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
