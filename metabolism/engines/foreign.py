"""Anybody's SBML file on the fast engine: read in the sandbox, run once, and compared with libRoadRunner.

A file is right, refused with its reason, or fails with its reason. One member over its own span is integrated twice, by
the fast engine from our reading and by libRoadRunner from the file; where they differ, the file is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.engines.contract import Plan, Problem, Solution, get_engine
from metabolism.errors import MetabolismError, ModelError, SolverFailed, needs
from metabolism.sbml import (
    Equations,
    checked_text,
    general_equations,
    in_sandbox,
    read_document,
    single,
    start_values,
)
from metabolism.types import Array

#: Points of the span at which both are compared; none is at a round time, where events like to be.
_POINTS = 61

#: Largest difference of any quantity, as a share of its largest value in the span.
AGREEMENT = 1e-4

#: Share of the largest value in a file below which a quantity counts as empty.
NOTHING = 1e-15

#: Relative tolerances of the fast engine and of libRoadRunner at which both are compared until they agree: either
#: may need a tighter one where rates jump or errors grow along the course.
_LADDER = ((1e-8, 1e-8), (1e-8, 1e-11), (1e-11, 1e-13))
_RTOL = _LADDER[0][0]

#: Relative tolerance of a run that does not say one, and the error there, as a share of the largest value, from which
#: the user is told.
DEFAULT, LOOSE = 1e-6, 1e-3

#: Absolute tolerance of a state: this share of the relative one and of its largest value.
_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class Foreign:
    """A file that may be run on the fast engine.

    Attributes
    ----------
    equations : Equations
    scale : ndarray, shape (states,)
        Largest size of each state over the span, which says what is small for it [unit of the file].
    agreement : float or None
        Largest difference from libRoadRunner; None if that could not run the file.
    remarks : list of str
        What the user should know, the comparison included.
    loose : float
        Largest error at the default tolerance, as a share of the largest value of a quantity.
    """

    equations: Equations
    scale: Array
    agreement: float | None
    remarks: list[str] = field(default_factory=list)
    loose: float = 0.0

    @property
    def sensitive(self) -> bool:
        """Whether the default tolerance is not enough for it."""
        return self.loose > LOOSE

    def atol(self, rtol: float) -> Array:
        """Absolute tolerances that go with a relative one, shape (states,)."""
        return _SHARE * rtol * self.scale


def load_foreign(
    path: str | Path,
    until: float,
    start: float = 0.0,
    *,
    equations: Equations | None = None,
    seconds: int = 300,
    megabytes: int = 4000,
) -> Foreign:
    """Read an SBML file in a process with limits, run it there, and compare it with libRoadRunner.

    Parameters
    ----------
    path : str or Path
    until, start : float
        The span of the comparison [time unit of the file].
    equations : Equations, optional
        Of the same file, where it was read before: then they run in this process.
    seconds, megabytes : int
        Limits of each of the two processes.

    Raises
    ------
    ModelError
        If the file is broken, hostile or not covered, if it cannot be integrated, or if libRoadRunner finds something
        else in it.
    """
    request = {"until": until, "start": start}
    limits = {"seconds": seconds, "megabytes": megabytes}
    if equations is None:
        found = in_sandbox("metabolism.engines.foreign:course_of", path, request, **limits)
    else:
        found = course(equations, until, start)
    # the span that was run, which may be shorter than the one asked for
    referee = {"until": found["span"][1], "start": start, "names": found["names"]}

    def ask(rtol: float) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = in_sandbox(
                "metabolism.engines.foreign:referee_of", path, {**referee, "rtol": rtol}, **limits
            )
        except ModelError as error:
            return {"error": str(error)}
        return answer

    return judge(found, ask)


def judge(found: dict[str, Any], ask: Callable[[float], dict[str, Any]]) -> Foreign:
    """Compare the course of the fast engine with that of libRoadRunner, which `ask` gives for a tolerance.

    Raises
    ------
    ModelError
        If they differ.
    """
    equations, remarks = general_equations(found["reading"]), list(found["reading"]["remarks"])
    scale, mine = np.array(found["scale"]), np.array(found["values"], dtype=float)
    others: dict[float, Array] = {}
    for own, rtol in _LADDER:
        if rtol not in others:
            other = ask(rtol)
            if "error" in other and others:
                # it cannot run more tightly; what it said before stands
                break
            if "error" in other:
                remarks.append(f"not compared: libRoadRunner cannot run it ({other['error']})")
                return Foreign(equations, scale, None, remarks)
            others[rtol] = np.array(other["values"], dtype=float)
        try:
            finest = mine if own == _RTOL else _tighter(equations, found, scale, own)
        except SolverFailed:
            break
        theirs = others[rtol]
        share = _apart(finest, theirs)
        agreement = float(share.max(initial=0.0))
        if agreement <= AGREEMENT:
            loose = float(_apart(finest, np.array(found["loose"], dtype=float)).max(initial=0.0))
            asked, end = found["asked"], found["span"][1]
            short = f" up to {end:.4g}, beyond which comparing takes too many steps" if end < asked else ""
            remarks.append(f"agrees with libRoadRunner to {agreement:.1e}{short}{_amplified(loose)}")
            return Foreign(equations, scale, agreement, remarks, loose)
    if _by_chance(equations, found, scale, mine):
        remarks.append("not compared: the order of its events of equal priority is left to chance, and changes it")
        return Foreign(equations, scale, None, remarks)
    row, column = np.unravel_index(int(share.argmax()), share.shape)
    raise ModelError(
        f"the fast engine and libRoadRunner disagree on '{found['names'][column]}' at t = {found['times'][row]:.6g}: "
        f"{finest[row, column]:.6g} and {theirs[row, column]:.6g}; one of them is wrong, so it is not run."
    )


def _tighter(equations: Equations, found: dict[str, Any], scale: Array, rtol: float, chance: int = 0) -> Array:
    """Run the course of `found` again, with another tolerance or another order of what is left to chance."""
    begin, until = found["span"]
    start, times = start_values(equations, 1, time=begin), np.array(found["times"])
    values = run_one(equations, *start, times, until, found["names"], rtol, scale, chance).values
    return np.asarray(values[0])


def _amplified(loose: float) -> str:
    """What a user has to know where the default tolerance is not enough."""
    if loose <= LOOSE:
        return ""
    enough = 10.0 ** np.floor(np.log10(DEFAULT * AGREEMENT / min(loose, 1.0)))
    what = f"is off by {loose:.1g} of the largest value" if np.isfinite(loose) else "fails"
    return f"; errors grow along its course: rtol={DEFAULT:g} {what}; run it with rtol={enough:g}"


def _by_chance(equations: Equations, found: dict[str, Any], scale: Array, mine: Array) -> bool:
    """Whether another order of events that the file leaves to chance gives another course."""
    if len(equations.events) < 2:
        return False
    other = _tighter(equations, found, scale, _RTOL, chance=1)
    return bool(_apart(mine, other).max(initial=0.0) > AGREEMENT)


def _apart(mine: Array, theirs: Array) -> Array:
    """Differences as shares of the largest value of each quantity; infinite where only one has a value."""
    with np.errstate(invalid="ignore"):
        apart = np.where((mine == theirs) | (np.isnan(mine) & np.isnan(theirs)), 0.0, np.abs(mine - theirs))
    both = np.abs(np.concatenate([mine, theirs]))
    size = np.where(np.isfinite(both), both, 0.0).max(axis=0, initial=0.0)
    # what stays at a rounding of everything else is as good as empty
    size = np.maximum(size, NOTHING * size.max(initial=0.0))
    share: Array = np.where(np.isfinite(apart), apart, np.inf) / np.where(size > 0, size, 1.0)
    return share


def course_of(path: str, until: float, start: float) -> dict[str, Any]:
    """Read a file and run one member of it: the side of the fast engine, in the sandbox."""
    return course(general_equations(read_document(checked_text(path))), until, start)


def course(equations: Equations, until: float, start: float = 0.0) -> dict[str, Any]:
    """Run one member of a file that was read: the side of the fast engine of what `judge` compares.

    Where it takes more steps than there may be, as oscillations over a long time do, the span ends before that.
    """
    names = compared(equations)
    parameters, initial = start_values(equations, 1, time=start)
    scale = typical(equations, parameters, initial, start, until)

    def run(rtol: float) -> list[Any]:
        solution = run_one(equations, parameters, initial, _times(start, end), end, names, rtol, scale)
        values: list[Any] = solution.values[0].tolist()
        return values

    end = until
    try:
        values = run(_RTOL)
    except SolverFailed as error:
        if error.time is None or "steps" not in str(error):
            raise
        end = start + 0.9 * (error.time - start)
        values = run(_RTOL)
    try:
        loose = run(DEFAULT)
    except SolverFailed:
        loose = np.full(np.shape(values), np.nan).tolist()
    return {
        "span": (start, end),
        "asked": until,
        "reading": equations.reading,
        "names": names,
        "times": _times(start, end).tolist(),
        "values": values,
        "loose": loose,
        "scale": scale.tolist(),
    }


def compared(equations: Equations) -> list[str]:
    """Everything in a file that may change in time and has a name of its own there."""
    reading = equations.reading or {}
    jumps = {target for event in equations.events for target in event["assignments"]}
    changing = {*equations.states, *reading["rules"], *jumps} - {equations.time}
    known = {*reading["species"], *reading["units"]} - set(reading["reactions"])
    return sorted(changing & known)


def run_one(
    equations: Equations,
    parameters: Array,
    initial: Array,
    times: Array,
    until: float,
    outputs: Sequence[str],
    rtol: float,
    scale: Array,
    chance: int = 0,
) -> Solution:
    """Integrate members on the fast engine; the first failure is raised.

    Raises
    ------
    SolverFailed
    """
    doses = np.ones((len(initial), 0))
    problem = Problem(
        equations,
        Plan(),
        float(times[0]),
        until,
        times,
        tuple(outputs),
        parameters,
        initial,
        doses,
        rtol,
        _SHARE * rtol * scale,
        chance,
    )
    solved = get_engine("fast").solve(problem)
    for failure in solved.failures.values():
        raise SolverFailed(failure.message, failure.time, failure.state, failure.lasting)
    return solved


def typical(equations: Equations, parameters: Array, initial: Array, start: float, until: float) -> Array:
    """How large each state becomes: from a run of one member, so that a start from nothing says nothing.

    Returns
    -------
    ndarray, shape (states,)

    Raises
    ------
    SolverFailed
        If it cannot be integrated even with loose tolerances.
    """
    size = np.nan_to_num(np.abs(initial[0]), nan=0.0, posinf=0.0)
    whole = float(size.max(initial=0.0)) or 1.0
    guess, times = np.where(size > 0, size, 1e-3 * whole), np.linspace(start, until, 201)
    failure: MetabolismError | None = None
    # a first look with more than is needed, then less; tight tolerances on what is empty may leave no step, and where a
    # course is near an explosion, loose ones find it
    for rtol, loose in ((1e-5, 1.0), (1e-5, 1e3), (1e-5, 1e6), (1e-8, 1.0)):
        try:
            course = run_one(
                equations, parameters, initial, times, until, equations.states, rtol, loose * guess
            ).values[0]
            top = np.nanmax(np.abs(np.vstack([course, initial])), axis=0)
            return np.where((top > 0) & np.isfinite(top), top, 1.0)
        except SolverFailed as error:
            failure = failure or error
            if error.lasting:
                break
    assert failure is not None
    raise failure


def referee_of(path: str, until: float, start: float, names: list[str], rtol: float) -> dict[str, Any]:
    """The same member by libRoadRunner from the file itself, in the sandbox."""
    with needs("referee", "the comparison"):
        import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_CRITICAL)
    text = single(checked_text(path))
    try:
        runner = roadrunner.RoadRunner(text)
        integrator = runner.integrator
        integrator.setValue("relative_tolerance", rtol)
        integrator.setValue("absolute_tolerance", 1e-4 * rtol)
        integrator.setValue("maximum_num_steps", 100_000)
        species = {*runner.model.getFloatingSpeciesIds(), *runner.model.getBoundarySpeciesIds()}
        whole = _substance(text)
        runner.timeCourseSelections = [n if n not in species or n in whole else f"[{n}]" for n in names]
        rows = np.array(runner.simulate(times=_times(start, until).tolist()))
    except RuntimeError as error:
        raise ModelError(" ".join(str(error).split())[:200]) from None
    return {"values": rows.tolist()}


def _substance(text: str) -> set[str]:
    """Species that are amounts in formulas."""
    import libsbml

    model = libsbml.readSBMLFromString(text).getModel()
    flat = {c.getId() for c in model.getListOfCompartments() if c.getSpatialDimensions() == 0}
    return {s.getId() for s in model.getListOfSpecies() if s.getHasOnlySubstanceUnits() or s.getCompartment() in flat}


def _times(start: float, until: float) -> Array:
    grid = start + (until - start) * (np.arange(_POINTS) - 0.6180339887) / (_POINTS - 1)
    return np.concatenate([[start], grid[1:]])
