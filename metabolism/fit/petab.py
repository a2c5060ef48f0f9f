"""The calibration of the metabolism as a PEtab problem (version 1): model, conditions, published values, priors.

PEtab sees one condition at a time, and a version 1 condition holds its parameters. A row of the cases can be said in it
if it is the value of one arm at one time, at rest or after a lasting change of parameters, with a band on both sides.
Rows that compare arms, read windows, are dosed or have one edge are left out by name (`unsaid`).

What the product does outside of a simulation is inside the exported model: capacities follow the fitted parameters by
assignment rules (`metabolism.model.closure`), and while the model comes to rest the input that a study's baseline is
matched by moves until the baseline is met (integral control), or returns to the model's own value.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.cases import Row, predict
from metabolism.errors import InvalidValue
from metabolism.exports import RESTING, add_parameter, add_state, resting_document, second_version, write_problem
from metabolism.fit.definition import read_definition, shipped_fits
from metabolism.fit.objective import Objective
from metabolism.model import Model, closure, equations
from metabolism.simulation import simulate

if TYPE_CHECKING:
    import pandas as pd


#: Metrics as observable formulas; ``{0}`` is the observable, ``{1}`` the same at rest.
_METRICS = {
    "value": "{0}",
    "change": "{0} - {1}",
    "fold": "{0} / {1}",
    "percent_change": "100 * ({0} / {1} - 1)",
}

#: How fast a matched input moves while the model comes to rest [1/h]: slower than the stores of the body.
_SEEK = 2e-5


def unsaid(row: Row, fitted: tuple[str, ...], states: tuple[str, ...]) -> str:
    """Say why version 1 of PEtab cannot express a row; empty if it can.

    Parameters
    ----------
    fitted : tuple of str
        Parameters that are estimated.
    states : tuple of str
        States of the model.
    """
    arm, name = row.arms[0], row.text["metric"]
    if len(row.arms) > 1:
        return "compares arms, and an observable belongs to one condition"
    if name not in _METRICS or len(row.times) > 1:
        return f"'{name}' of '{row.text['reading']}' is no value at one time"
    if not math.isfinite(row.high - row.low):
        return "a limit, and noise has two sides"
    if len(arm.members) > 1 or arm.before is not None:
        return "a mean over different people, or a baseline on treatment"
    if arm.treatment.doses:
        return "doses, and a version 1 condition holds what it sets"
    lifelong = [h for h in arm.treatment.holds if h.start == -math.inf]
    for hold in (*arm.members[0].population.holds, *arm.treatment.holds):
        if hold.start not in (-math.inf, 0.0) or hold.end < row.times[0]:
            return f"{hold.parameter} changes between the reading and rest"
        if hold.parameter in fitted or hold.parameter in states:
            return f"{hold.parameter} is set, and it is estimated or a state"
    if lifelong and arm.targets:
        return "a baseline met before a lasting change"
    return ""


def petab_fits(model: Model) -> list[str]:
    """Ids of the shipped fits of which PEtab can express at least one row."""
    return [key for key in shipped_fits() if "" in _unsaid_rows(Objective(model, read_definition(key))).values()]


def _unsaid_rows(objective: Objective) -> dict[str, str]:
    """Why PEtab cannot express each row of a fit, by id; empty where it can."""
    states = equations(objective.model).states
    return {row.id: unsaid(row, objective.names, states) for row in objective.rows}


@dataclass(frozen=True)
class _Pair:
    """An input that is moved until an output is met; the output rises (1) or falls (-1) with it."""

    parameter: str
    output: str
    direction: float

    @property
    def gain(self) -> str:
        return f"{self.parameter}_by_{self.output}"

    @property
    def target(self) -> str:
        return f"{self.parameter}_for_{self.output}"


def write_fit_petab(objective: Objective, folder: Path) -> dict[str, str]:
    """Write the problem of a fit: tables, ``model.xml`` and ``README.txt``, and the same in version 2 under ``v2``.

    Parameters
    ----------
    objective : Objective
        Model, rows, priors and bounds of the fit.
    folder : Path
        Made if missing.

    Returns
    -------
    dict of str to str
        Rows that PEtab cannot express, and parameters that move none of the others, each with the reason.

    Raises
    ------
    InvalidValue
        If no row can be expressed.
    """
    model, names = objective.model, objective.names
    reasons = _unsaid_rows(objective)
    rows = [row for row in objective.rows if not reasons[row.id]]
    if not rows:
        (why, count), *others = Counter(reasons.values()).most_common()
        raise InvalidValue(
            f"PEtab can express no row of fit '{objective.definition.id}' ({count} of {len(reasons)}: {why}; "
            f"{len(others)} other reasons), but of {', '.join(petab_fits(model))}; without a fit, petab is plasma "
            "cobalamin after doses."
        )
    left = {f"row {key}": reason for key, reason in reasons.items() if reason}
    # one candidate as it is, and one for each parameter moved by a twentieth within its bounds
    own = np.log([model.values.get(n, model.table[n].value) for n in names])
    steps = np.diag(np.where(own + 0.05 <= objective.high, 0.05, -0.05))
    values = predict(model, rows, objective.columns(np.vstack([own, own + steps])), rtol=1e-9).values
    # one that cannot be run has moved, too
    same = np.asarray(np.abs(values[:, 1:] / values[:, :1] - 1) <= 1e-7)
    moved = [not column.all() for column in same.T]
    left |= {f"parameter {n}": "moves none of these rows" for n, m in zip(names, moved, strict=True) if not m}
    pairs = _pairs(model, rows)
    sbml, tables = _sbml(model, rows, names, pairs), _tables(objective, rows, moved, pairs)
    write_problem(folder, sbml, tables)
    write_problem(folder / "v2", sbml, second_version(model.id, tables), model.id)
    lines = "".join(f"  {name}: {reason}\n" for name, reason in left.items())
    readme = (
        f"PEtab problem of the fit {objective.definition.id}: {objective.definition.title}.\n"
        "problem.yaml is version 1, v2/problem.yaml the same in version 2.\n\n"
        f"{len(rows)} of the {len(objective.rows)} rows of the fit, and {sum(moved)} of its {len(names)} "
        "parameters. A measurement is the published value, or the middle\nof its band where none was published; noise "
        f"is half the band over {objective.definition.band_sd:g}, on a logarithmic scale where\nthe band spans more "
        "than a factor of three. Rows that must pass count like others here.\n"
        f"Every experiment comes to rest first, under a condition with {RESTING} = 1. Until then levels at rest\n"
        "follow the model, and an input that a study's baseline is matched by moves until the baseline is met.\n"
        "Capacities follow the estimated parameters by assignment rules, so that the reference state rests.\n"
        "What never rests, such as urine and the loss of motor units, stands still.\n\n"
        f"Left out, since PEtab cannot say it:\n{lines}"
    )
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    return left


def _pairs(model: Model, rows: list[Row]) -> list[_Pair]:
    """Inputs and outputs of all baselines, and which way the output goes."""
    found = {}
    for target in (t for row in rows for t in row.arms[0].targets):
        key = target.parameter, target.output
        if key not in found:
            patients = {target.parameter: model.values[target.parameter] * np.array([1.0, 1.02])}
            run = simulate(model, None, 1.0, times=[0.0], outputs=[target.output], patients=patients)
            one, two = run[target.output].values[:, 0]
            found[key] = _Pair(*key, 1.0 if two > one else -1.0)
    return list(found.values())


def _held(rows: list[Row]) -> list[str]:
    """Parameters that rows set, for life or in a run."""
    arms = [row.arms[0] for row in rows]
    return sorted({h.parameter for a in arms for h in (*a.members[0].population.holds, *a.treatment.holds)})


def _base(row: Row) -> str:
    """Observable of a row in its own unit, as a formula."""
    above, below = (" + ".join(f"{sign:g} * {name}" for sign, name in terms) for terms in (row.terms, row.below))
    text = f"({above}) / ({below})" if below else f"({above})"
    return text if row.metric.unit in ("%", "dimensionless") else f"{row.factor!r} * {text}"


def _levels(rows: list[Row]) -> list[str]:
    """Outputs whose level at rest a row compares with."""
    own = (row for row in rows if "{1}" in _METRICS[row.text["metric"]])
    return sorted({name for row in own for _, name in (*row.terms, *row.below)})


def _formula(row: Row) -> str:
    at_rest = _base(row)
    for _, name in (*row.terms, *row.below):
        at_rest = at_rest.replace(f"* {name}", f"* {name}_at_rest")
    return _METRICS[row.text["metric"]].format(_base(row), at_rest)


def _sbml(model: Model, rows: list[Row], names: tuple[str, ...], pairs: list[_Pair]) -> str:
    """The model with closures as rules, levels at rest, and inputs that seek a baseline."""
    import libsbml

    system, table, formulas = equations(model), model.table, closure(model.table).formulas
    rest = simulate(model, None, 1.0, times=[0.0], outputs=_levels(rows) or None).curves
    document = resting_document(model, {name: float(rest[name][0]) for name in _levels(rows)})
    content = document.getModel()
    inputs = sorted({p.parameter for p in pairs})

    held, follow = _held(rows), _following(formulas, names)
    wrapped = {name for name in (*held, *inputs) if name in follow or name in inputs}

    def own(symbol: str) -> str:
        # what a condition sets, or time changes, is not what the reference state was closed with
        if symbol in wrapped:
            return f"{symbol}_closed"
        return f"{symbol}_reference" if symbol in system.states or symbol in held else symbol

    def parameter(key: str, value: float, unit: str, said: str, rule: str = "") -> None:
        if content.getElementBySId(key) is None:
            add_parameter(content, key, value, unit, said, constant=not rule)
        if rule:
            content.getParameter(key).setConstant(False)
            content.removeRuleByVariable(key)
            assignment = content.createAssignmentRule()
            assignment.setVariable(key)
            assignment.setMath(libsbml.parseL3Formula(rule))

    # states by the name of their initial value: what is derived from it holds at the reference state
    used = {s.name for key in follow for s in formulas[key].free_symbols} | set(names)
    for name in sorted(used - set(follow)):
        parameter(own(name), table[name].value, table[name].unit, f"{table[name].name}, at the reference state")
    for key in follow:
        text = str(formulas[key].xreplace({s: type(s)(own(s.name)) for s in formulas[key].free_symbols}))
        parameter(own(key), table[key].value, table[key].unit, f"{table[key].name}, derived", text.replace("**", "^"))
    for name in sorted(wrapped):
        base, value, unit = f"{name}_closed", model.values[name], table[name].unit
        parameter(base, value, unit, f"{table[name].name}, as the model has it")
        parameter(f"{name}_factor", 1.0, "dimensionless", f"{name}: what a study multiplies it by")
        parameter(f"{name}_more", 0.0, unit, f"{name}: what a study adds to it")
        moving = f" * {name}_moved" if name in inputs else ""
        rule = f"{base} * {name}_factor{moving} + {name}_more"
        parameter(name, value, unit, table[name].name, rule)
    parameter("seek", _SEEK, "dimensionless", "how fast a matched input moves [1/h]")
    for name in inputs:
        mine = [p for p in pairs if p.parameter == name]
        for pair in mine:
            parameter(pair.gain, 0.0, "dimensionless", f"{name}: 1 or -1 if {pair.output} is met by it, or 0")
            parameter(pair.target, 1.0, table[pair.output].unit if pair.output in table else "uM", "the baseline")
        free = " - ".join(["1", *(f"{p.gain}^2" for p in mine)])
        # per unit of what it is, so that it stays above 0
        sought = " + ".join(f"{p.gain} * ln({p.target} / {p.output}) * {name}_moved" for p in mine)
        rate = f"{RESTING} * seek * amounts * ({sought} + ({free}) * (1 - {name}_moved))"
        add_state(content, f"{name}_moved", 1.0, f"{name}: how far a baseline has moved it", "", rate)
    written: str = libsbml.writeSBMLToString(document)
    return written


def _following(formulas: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Derived rows that follow from estimated ones."""
    follow: dict[str, None] = {}
    while more := [
        key
        for key, formula in formulas.items()
        if key not in follow and key not in names and {s.name for s in formula.free_symbols} & {*names, *follow}
    ]:
        follow |= dict.fromkeys(more)
    return list(follow)


def _condition(model: Model, row: Row, closed: set[str], pairs: list[_Pair], run: bool) -> dict[str, float]:
    """Values a row sets while it comes to rest, or in its run."""
    arm, own = row.arms[0], model.values
    holds = [*arm.members[0].population.holds, *arm.treatment.holds]
    values = {RESTING: float(not run)}
    for hold in (h for h in holds if run or h.start == -math.inf):
        name, value = hold.parameter, hold.value
        factor, more = {"=": (0.0, value), "x": (value, 0.0), "+": (1.0, value)}[hold.how]
        if name in closed:
            old = values.get(f"{name}_factor", 1.0), values.get(f"{name}_more", 0.0)
            values |= {f"{name}_factor": factor * old[0], f"{name}_more": factor * old[1] + more}
        else:
            values[name] = factor * values.get(name, own[name]) + more
    for target in arm.targets:
        pair = next(p for p in pairs if (p.parameter, p.output) == (target.parameter, target.output))
        values |= {pair.gain: pair.direction, pair.target: target.value}
    return values


def _tables(objective: Objective, rows: list[Row], moved: list[bool], pairs: list[_Pair]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    model, names = objective.model, objective.names
    closed = {*_following(closure(model.table).formulas, names), *(p.parameter for p in pairs)}
    own = model.values | {f"{n}_factor": 1.0 for n in closed} | {f"{n}_more": 0.0 for n in closed}
    own |= {p.gain: 0.0 for p in pairs} | {p.target: 1.0 for p in pairs}
    conditions: dict[tuple[tuple[str, float], ...], str] = {}
    measurements, observables = [], []
    scales = {row.id: scale for row, scale in zip(objective.rows, objective.scales, strict=True)}
    for row in rows:
        keys = []
        for run in (False, True):
            values = tuple(sorted(_condition(model, row, closed, pairs, run).items()))
            keys.append(conditions.setdefault(values, f"{'run' if run else 'rest'}_{row.id}"))
        wide, target, sd = scales[row.id]
        key, value = f"observed_{row.id}", math.exp(target) if wide else target
        measurements.append((key, *keys, row.times[0], value, sd, row.id))
        said = f"{row.study}: {row.text['metric']} of {row.text['observable']} [{row.unit}]"
        observables.append((key, said, _formula(row), "log" if wide else "lin", f"noiseParameter1_{key}", "normal"))
    columns = sorted({name for values in conditions for name, _ in values})
    cells = [[key, *(dict(values).get(c, own.get(c)) for c in columns)] for values, key in conditions.items()]
    priors = zip(names, objective.centre.tolist(), objective.sd.tolist(), moved, strict=True)
    parameters: list[Any] = []
    for n, centre, sd in (each for *each, moves in priors if moves):
        own_row, prior = model.table[n], ("parameterScaleNormal", f"{centre!r};{sd!r}")
        limits = own_row.lower, own_row.upper, own.get(n, own_row.value)
        parameters.append((n, own_row.name, "log", *limits, 1, *prior))
    tables: dict[str, tuple[str, list[Any]]] = {
        "parameters": (
            "parameterId parameterName parameterScale lowerBound upperBound nominalValue estimate "
            "objectivePriorType objectivePriorParameters",
            parameters,
        ),
        "conditions": (f"conditionId {' '.join(columns)}", cells),
        "observables": (
            "observableId observableName observableFormula observableTransformation noiseFormula noiseDistribution",
            observables,
        ),
        # sorted: pyPESTO pairs conditions in order of appearance with conditions in order of name
        "measurements": (
            "observableId preequilibrationConditionId simulationConditionId time measurement noiseParameters datasetId",
            sorted(measurements, key=lambda m: m[2]),
        ),
    }
    return {name: pd.DataFrame(cells, columns=head.split()) for name, (head, cells) in tables.items()}
