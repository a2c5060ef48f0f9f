"""PEtab problems: published plasma values of methylcobalamin, the parameters behind them with their priors, the model.

Only numbers that a publication reports as a value at a time, or as an area over a stated span, are measurements:
peaks of the mean curve at the published time of the peak, areas, troughs. Half-lives and "at least 93 %" are not.
Noise is the standard error of the published mean; where none was published, the relative error of the same analyte by
the other route is taken, and the table says so. Single doses make a version 1 problem; repeated doses need version 2.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.data import read_data
from metabolism.dosing import Regimen, plan, substance
from metabolism.errors import ModelError
from metabolism.exports.sbml import add_parameter, sbml_text
from metabolism.model import Model, Parameter, equations
from metabolism.simulation import simulate, steady_state

if TYPE_CHECKING:
    import pandas as pd


DATA, MEASUREMENTS = "literature/pharmacokinetics", "published/measurements"

MODULE = "methylcobalamin_pk"
_PRIOR = "objectivePriorParameters"

#: Observable formulas [ng/mL or ng h/mL]; `mass` is the molar mass, 1 uM = mass ng/mL.
_FORMULAS = {
    "free_rise": "mass * (cbl_free - cbl_free_at_rest)",
    "free_area": "mass * area_free",
    "total_rise": "mass * (cbl_plasma - cbl_plasma_at_rest)",
    "total_area": "mass * area_total",
    "total": "mass * cbl_plasma",
}

_NAMES = {
    "free_rise": "plasma methylcobalamin above rest [ng/mL]",
    "free_area": "area of plasma methylcobalamin above rest [ng h/mL]",
    "total_rise": "total plasma cobalamin above rest [ng/mL]",
    "total_area": "area of total plasma cobalamin above rest [ng h/mL]",
    "total": "total plasma cobalamin [ng/mL]",
}


@dataclass(frozen=True)
class Target:
    """One published value: what was given, what was read when [h], the value and its standard error."""

    experiment: str
    regimen: str
    observable: str
    time: float
    value: float
    error: float
    reference: str
    assumed_error: bool


def targets() -> list[Target]:
    """Return the published values of the PEtab problems: rows of the literature table, read with its checksum."""
    rows = {str(row["id"]): row for row in read_data(DATA).to_dict("records")}
    values = []
    for asked in read_data(MEASUREMENTS).astype(object).fillna("").to_dict("records"):
        row, like = rows[asked["number"]], rows[asked["error_of"] or asked["number"]]
        spread = _standard_error(like)
        if spread is None:
            raise ModelError(f"no spread is published for {asked['number']} of {DATA}; it cannot be a measurement.")
        value, time = float(row["value"]), asked["time"]
        hours = float(rows[time]["value"] if time in rows else time)
        error = spread / float(like["value"]) * value if like is not row else spread
        what = asked["experiment"], asked["regimen"], asked["observable"]
        values.append(Target(*what, hours, value, error, str(row["reference"]), like is not row))
    return values


def _standard_error(row: Mapping[Any, Any]) -> float | None:
    text = str(row["spread"])
    if match := re.fullmatch(r"SD ([0-9.]+)", text):
        return float(match.group(1)) / math.sqrt(float(row["n"]))
    if match := re.fullmatch(r"([0-9.]+) \(SE\?\)", text):
        return float(match.group(1))
    return None


def predictions(model: Model) -> pd.DataFrame:
    """Return every measurement beside what `simulate` gives, with its share of the log-likelihood (normal).

    Times are in hours, measurement, simulation and error in ng/mL or ng h/mL; version is 1 or 2.
    """
    import pandas as pd

    rest, mass = steady_state(model).values, substance("methylcobalamin").molar_mass
    rows = []
    runs: dict[str, Any] = {}
    for target in targets():
        if target.regimen not in runs:
            runs[target.regimen] = _run(model, target.regimen)
        result = runs[target.regimen]
        analyte = "cbl_free" if target.observable.startswith("free") else "cbl_plasma"
        curve, base = result[analyte], rest[analyte]
        if target.observable.endswith("area"):
            from scipy.integrate import simpson

            inside = curve.sel(time=slice(0, target.time))
            value = float(simpson(inside.values - base, x=inside["time"].values))
        else:
            value = float(curve.sel(time=target.time)) - (base if target.observable.endswith("rise") else 0.0)
        value *= mass
        misfit = (target.value - value) / target.error
        likely = -0.5 * (np.log(2 * np.pi * target.error**2) + misfit**2)
        where, version = (target.experiment, target.observable, target.time), 1 if _single(target) else 2
        rows.append((*where, target.value, value, target.error, version, likely))
    columns = ["experiment", "observable", "time", "measurement", "simulation", "error", "version", "log_likelihood"]
    return pd.DataFrame(rows, columns=columns)


def _run(model: Model, regimen: str) -> Any:
    wanted = sorted({t.time for t in targets() if t.regimen == regimen})
    # dense after the dose, so that the quadrature of the area is exact to a millionth
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 144.0, 4001), np.array(wanted)])
    return simulate(model, regimen, 145, outputs=["cbl_free", "cbl_plasma"], times=np.unique(grid), rtol=1e-10)


def _single(target: Target) -> bool:
    return " x " not in target.regimen


def _sbml(model: Model) -> str:
    """The model with areas under the curves, doses as parameters, and resting values as constants."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml_text(model, drawing=False))
    content = document.getModel()
    rest = steady_state(model).values
    for analyte in ("cbl_free", "cbl_plasma"):
        add_parameter(content, f"{analyte}_at_rest", rest[analyte], "uM", f"{analyte} before the dose")
    mass = substance("methylcobalamin").molar_mass
    add_parameter(content, "mass", mass, "dimensionless", "ng/mL per uM methylcobalamin")
    unit = content.createUnitDefinition()
    unit.setId("uM_h")
    for kind, *size in (("MOLE", 1, -6, 1.0), ("LITRE", -1, 0, 1.0), ("SECOND", 1, 0, 3600.0)):
        part = unit.createUnit()
        part.setKind(getattr(libsbml, f"UNIT_KIND_{kind}"))
        for name, value in zip(("Exponent", "Scale", "Multiplier"), size, strict=True):
            getattr(part, f"set{name}")(value)
    for area, analyte in (("area_free", "cbl_free"), ("area_total", "cbl_plasma")):
        add_parameter(content, area, 0.0, "uM_h", f"area under {analyte} above rest", constant=False)
        rule = content.createRateRule()
        rule.setVariable(area)
        rule.setMath(libsbml.parseL3Formula(f"{analyte} - {analyte}_at_rest"))
    for species in sorted({t for steps in _single_doses().values() for _, t, _ in steps}):
        add_parameter(content, f"dose_{species}", 0.0, "umol", f"dose to {species} at time 0")
        element = content.getSpecies(species)
        start = content.createInitialAssignment()
        start.setSymbol(species)
        risen = f"{species}_at_rest + dose_{species} / {element.getCompartment()}"
        formula = f"dose_{species}" if element.getHasOnlySubstanceUnits() else risen
        start.setMath(libsbml.parseL3Formula(formula))
    text: str = libsbml.writeSBMLToString(document)
    return text


def _boluses(regimen: str) -> tuple[tuple[float, str, float], ...]:
    return plan(Regimen.parse(regimen), 0.0, 1e4).boluses


def _single_doses() -> dict[str, tuple[tuple[float, str, float], ...]]:
    return {t.experiment: _boluses(t.regimen) for t in targets() if _single(t)}


def write_petab(model: Model, folder: Path) -> None:
    """Write two PEtab problems: ``problem.yaml`` (version 1, single doses) and ``v2/problem.yaml`` (repeated doses).

    Raises
    ------
    ModelError
        If a problem does not pass the checks of the petab library.
    """
    import petab.v1 as petab
    from petab import v2

    text, published = _sbml(model), targets()
    first = "format_version: 1\nparameter_file: parameters.tsv\nproblems:\n- sbml_files: [model.xml]\n"
    second = (
        f"format_version: 2.0.0\nparameter_files: [parameters.tsv]\nmodel_files:\n  {model.id}:\n"
        "    location: model.xml\n    language: sbml\nexperiment_files: [experiments.tsv]\n"
    )
    for place, tables, head, indent in (
        (folder, _version_1(model, published), first, "  "),
        (folder / "v2", _version_2(model, published), second, ""),
    ):
        place.mkdir(exist_ok=True)
        (place / "model.xml").write_text(text, encoding="utf-8")
        for name, frame in tables.items():
            frame.to_csv(place / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
        files = "".join(f"{indent}{name}_files: [{name}s.tsv]\n" for name in ("condition", "observable", "measurement"))
        (place / "problem.yaml").write_text(head + files, encoding="utf-8")
    with warnings.catch_warnings():
        # the library reads tables in a way that pandas is about to drop
        warnings.simplefilter("ignore")
        if petab.lint_problem(petab.Problem.from_yaml(str(folder / "problem.yaml"))):
            raise ModelError("the PEtab problem does not pass petablint; please report this.")
        checked = v2.Problem.from_yaml(folder / "v2" / "problem.yaml").validate()
    if checked.has_errors():
        raise ModelError(f"the PEtab v2 problem is not valid: {'; '.join(str(i.message) for i in checked)}")
    assumed = sorted({f"{t.experiment} {t.observable}" for t in published if t.assumed_error})
    readme = (
        f"PEtab problems of {model.id}: published plasma cobalamin after methylcobalamin.\n\n"
        "problem.yaml     version 1: single doses\n"
        "v2/problem.yaml  version 2: the same, and 0.5 mg intravenously once daily (repeated doses)\n\n"
        "Measurements are means of groups, noise is the standard error of the mean. A published Cmax is taken as the\n"
        "value of the mean curve at the published tmax, which understates the mean of the individual peaks.\n"
        f"No error was published for {', '.join(assumed)}: the relative error of the intramuscular value is taken.\n"
        "Half-lives, lower limits and urinary recovery are not measurements here.\n"
        f"Parameters and priors: module {MODULE} of parameters.csv, without volumes, which PEtab cannot estimate.\n"
    )
    (folder / "README.txt").write_text(readme, encoding="utf-8")


def _estimated(model: Model) -> list[Parameter]:
    """Parameters that PEtab may estimate: never the sizes of compartments."""
    own = model.table.of(module=MODULE)
    return [p for p in own if p.estimate and p.prior == "log-normal" and p.kind != "volume"]


def _version_1(model: Model, published: list[Target]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    parameters = pd.DataFrame(
        [(p.id, p.name, p.lower, p.upper, model.values[p.id], p.prior_parameters) for p in _estimated(model)],
        columns=["parameterId", "parameterName", "lowerBound", "upperBound", "nominalValue", _PRIOR],
    )
    fixed: Any = {"parameterScale": "log10", "estimate": 1, "objectivePriorType": "logNormal"}
    parameters = parameters.assign(**fixed, **{_PRIOR: parameters.pop(_PRIOR)})
    doses = _single_doses()
    given = sorted({target for steps in doses.values() for _, target, _ in steps})
    conditions = pd.DataFrame({"conditionId": list(doses)})
    for c in given:
        conditions[f"dose_{c}"] = [sum(a for _, t, a in steps if t == c) for steps in doses.values()]
    single = [t for t in published if _single(t)]
    keys = sorted({t.observable for t in single})
    observables = pd.DataFrame({"observableId": [f"observed_{k}" for k in keys]})
    observables["observableName"] = [_NAMES[k] for k in keys]
    observables["observableFormula"] = [_FORMULAS[k] for k in keys]
    observables["noiseFormula"] = [f"noiseParameter1_observed_{k}" for k in keys]
    observables["noiseDistribution"] = "normal"
    # sorted: pyPESTO pairs conditions in order of appearance with conditions in order of name
    ordered = sorted(single, key=lambda t: t.experiment)
    measurements = pd.DataFrame(
        [(f"observed_{t.observable}", t.experiment, t.time, t.value, t.error) for t in ordered],
        columns=["observableId", "simulationConditionId", "time", "measurement", "noiseParameters"],
    )
    tables = {"parameters": parameters, "conditions": conditions}
    return tables | {"observables": observables, "measurements": measurements}


def _version_2(model: Model, published: list[Target]) -> dict[str, pd.DataFrame]:
    from petab import v2

    problem = v2.Problem()
    for p in _estimated(model):
        prior = [float(x) for x in p.prior_parameters.split(";")]
        problem.add_parameter(p.id, True, model.values[p.id], p.lower, p.upper, "log-normal", prior)
    for key, regimen in dict.fromkeys((t.experiment, t.regimen) for t in published):
        # from rest: what is applied at the very start may not refer to the state
        periods: list[Any] = [-1.0, []]
        for time, species, amount in _boluses(regimen):
            condition = f"give_{amount:.6g}_umol_{species}".replace(".", "p")
            if condition not in {c.id for c in problem.conditions}:
                place = equations(model).volume.get(species)
                rise = f"{amount!r} / {place}" if place else repr(amount)
                problem.add_condition(condition, **{species: f"{species} + {rise}"})
            periods += [time, condition]
        problem.add_experiment(key, *periods)
    for key in dict.fromkeys(t.observable for t in published):
        noise, formula, name = f"noise_{key}", _FORMULAS[key], _NAMES[key]
        problem.add_observable(f"observed_{key}", formula, noise, "normal", noise_placeholders=[noise], name=name)
    for t in published:
        values = {"experiment_id": t.experiment, "time": t.time, "measurement": t.value, "noise_parameters": t.error}
        problem.add_measurement(f"observed_{t.observable}", **values)
    names = ("parameter", "condition", "experiment", "observable", "measurement")
    frames = {f"{name}s": getattr(problem, f"{name}_tables")[0].to_df() for name in names}
    return {name: frame.reset_index() if frame.index.name else frame for name, frame in frames.items()}
