"""Runs one published SBML model to rest and through a change; called inside the sandbox for foreign files."""

from typing import Any

import numpy as np

from metabolism.errors import MetabolismError, needs
from metabolism.sbml import checked_text, flatten

#: Time to rest [h], and the largest relative rate that counts as rest [1/h].
_SPAN, _REST = 5000.0, 1e-6

#: Values of one job before and after its change, or why there are none.
Answer = list[float] | str


def run_jobs(path: str, jobs: list[dict[str, Any]]) -> list[Answer]:
    """Run every job in this process: rest, then the change for its time; read one expression at both ends.

    Raises
    ------
    ModelError
        For a file that `metabolism compare` refuses too.
    """
    with needs("referee", "a published model"):
        import roadrunner

    text = checked_text(path)
    flatten(text)

    roadrunner.Logger.disableLogging()
    answers: list[Answer] = []
    try:
        runner = roadrunner.RoadRunner(text)
    except RuntimeError as error:
        return [f"cannot be loaded: {' '.join(str(error).split())[:120]}"] * len(jobs)
    for job in jobs:
        try:
            runner.resetAll()
            answers.append(_rest_and_read(runner, job))
        except (RuntimeError, MetabolismError) as error:
            answers.append(f"failed: {' '.join(str(error).split())[:120]}")
    return answers


def _rest_and_read(runner: Any, job: dict[str, Any]) -> list[float]:
    before, after = job["before"], job["after"]
    nominal = {k: runner.getValue(k) for k in {*before["values"], *before["scale"], *after["values"], *after["scale"]}}

    def change(state: dict[str, dict[str, float]]) -> None:
        values = nominal | state["values"]
        for key, value in values.items():
            runner.setValue(key, value * state["scale"].get(key, 1.0))

    def read() -> float:
        floating = runner.model.getFloatingSpeciesIds()
        return float(sum(runner.getValue(f"[{k}]" if k in floating else k) for k in job["read"].split(" + ")))

    runner.integrator.setValue("relative_tolerance", 1e-9)
    runner.integrator.setValue("maximum_num_steps", 200_000)
    change(before)
    runner.simulate(0, _SPAN, 3)
    level = np.abs(np.array(runner.model.getFloatingSpeciesConcentrations()))
    rate = np.abs(np.array(runner.model.getFloatingSpeciesConcentrationRates()))
    moving = float((rate / np.maximum(level, 1e-6)).max())
    if not moving < _REST:
        raise MetabolismError(f"not at rest after {_SPAN:g} h (still {moving:.1e} of its size per hour)")
    first = read()
    change(after)
    if job["hours"] > 0:
        runner.simulate(_SPAN, _SPAN + job["hours"], 3)
    return [first, read()]
