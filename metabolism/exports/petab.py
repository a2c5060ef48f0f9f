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


DATA = "literature/pharmacokinetics"


MODULE = "methylcobalamin_pk"


_LABEL, _OLD, _DAILY = "Rozebalamin label 16.1.1", "Mecobalamin 0.5 mg crossover", "Mecobalamin 10-dose IV study"


#: Read just before the next dose, 24 h after the last one [h].
_BEFORE = 0.01


#: (experiment, regimen, observable, time [h] or analyte that gives it, study, dose [mg], route, analyte, row time)
_TARGETS: tuple[tuple[str, str, str, float | str, str, float, str, str, str], ...] = (
    ("im_25mg", "25 mg im", "free_rise", "tmax (median)", _LABEL, 25, "IM", "plasma MeCbl Cmax", ""),
    ("im_25mg", "25 mg im", "free_area", 144.0, _LABEL, 25, "IM", "AUC0-inf", ""),
    ("im_50mg", "50 mg im", "free_rise", "tmax (median)", _LABEL, 50, "IM", "plasma MeCbl Cmax", ""),
    ("im_50mg", "50 mg im", "free_area", 144.0, _LABEL, 50, "IM", "AUC0-inf", ""),
    ("im_0p5mg", "0.5 mg im", "total_rise", "tmax", _OLD, 0.5, "IM", "delta Cmax total B12", ""),
    ("im_0p5mg", "0.5 mg im", "total_area", 144.0, _OLD, 0.5, "IM", "delta AUC total B12", ""),
    ("iv_0p5mg", "0.5 mg iv", "total_rise", 0.05, _OLD, 0.5, "IV", "delta Cmax total B12", ""),
    ("iv_0p5mg", "0.5 mg iv", "total_area", 144.0, _OLD, 0.5, "IV", "delta AUC total B12", ""),
    *(
        (
            "iv_0p5mg_daily",
            "0.5 mg iv daily x 3",
            "total",
            24.0 * i - _BEFORE,
            _DAILY,
            0.5,
            "IV",
            "total B12 trough",
            f"24 h after dose {i}",
        )
        for i in (1, 2, 3)
    ),
)


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
    """Return the published values of the PEtab problems, read from the literature table with its checksum."""
    data = read_data(DATA)
    found = []
    for experiment, regimen, observable, time, study, dose, route, analyte, when in _TARGETS:
        row = _row(data, study, dose, route, analyte, when)
        at = time if isinstance(time, float) else float(_row(data, study, dose, route, time, "")["value"])
        error = _standard_error(row)
        assumed = error is None
        if error is None:
            other = _row(data, study, dose, "IM", analyte, when)
            scale = _standard_error(other)
            if scale is None:
                raise ModelError(f"no spread is published for {study}, {analyte}; it cannot be a measurement.")
            error = scale / float(other["value"]) * float(row["value"])
        found.append(
            Target(experiment, regimen, observable, at, float(row["value"]), error, str(row["reference"]), assumed)
        )
    return found


def _row(data: pd.DataFrame, study: str, dose: float, route: str, analyte: str, when: str) -> dict[str, Any]:
    chosen = data[(data["study"] == study) & (data["route"] == route) & (data["analyte"] == analyte)]
    chosen = chosen[chosen["dose"].astype(float) == dose]
    if when:
        chosen = chosen[chosen["time"] == when]
    if len(chosen) != 1:
        raise ModelError(
            f"{DATA} has {len(chosen)} rows for {study}, {dose:g} mg {route}, {analyte} {when}; one is needed."
        )
    return {str(k): v for k, v in chosen.iloc[0].items()}


def _standard_error(row: dict[str, Any]) -> float | None:
    text = str(row["spread"])
    if match := re.fullmatch(r"SD ([0-9.]+)", text):
        return float(match.group(1)) / math.sqrt(float(row["n"]))
    if match := re.fullmatch(r"([0-9.]+) \(SE\?\)", text):
        return float(match.group(1))
    return None


def predictions(model: Model) -> pd.DataFrame:
    """Return every measurement beside what `simulate` gives, with its share of the log-likelihood.

    Returns
    -------
    DataFrame
        Columns experiment, observable, time [h], measurement and simulation [ng/mL or ng h/mL], error, version
        (1 or 2) and log_likelihood (normal).
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
        rows.append(
            {
                "experiment": target.experiment,
                "observable": target.observable,
                "time": target.time,
                "measurement": target.value,
                "simulation": value,
                "error": target.error,
                "version": 1 if _single(target) else 2,
                "log_likelihood": -0.5 * (np.log(2 * np.pi * target.error**2) + misfit**2),
            }
        )
    return pd.DataFrame(rows)


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

    document = libsbml.readSBMLFromString(sbml_text(model))
    content = document.getModel()
    rest = steady_state(model).values
    for analyte in ("cbl_free", "cbl_plasma"):
        add_parameter(content, f"{analyte}_at_rest", rest[analyte], "uM", f"{analyte} before the dose")
    add_parameter(
        content, "mass", substance("methylcobalamin").molar_mass, "dimensionless", "ng/mL per uM methylcobalamin"
    )
    unit = content.createUnitDefinition()
    unit.setId("uM_h")
    for kind, exponent, scale, multiplier in (
        (libsbml.UNIT_KIND_MOLE, 1, -6, 1.0),
        (libsbml.UNIT_KIND_LITRE, -1, 0, 1.0),
        (libsbml.UNIT_KIND_SECOND, 1, 0, 3600.0),
    ):
        part = unit.createUnit()
        part.setKind(kind)
        part.setExponent(exponent)
        part.setScale(scale)
        part.setMultiplier(multiplier)
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
        if element.getHasOnlySubstanceUnits():
            start.setMath(libsbml.parseL3Formula(f"dose_{species}"))
        else:
            start.setMath(libsbml.parseL3Formula(f"{species}_at_rest + dose_{species} / {element.getCompartment()}"))
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
    for place, tables, head in (
        (
            folder,
            _version_1(model, published),
            "format_version: 1\nparameter_file: {parameters}\nproblems:\n- sbml_files",
        ),
        (
            folder / "v2",
            _version_2(model, published),
            f"format_version: 2.0.0\nparameter_files: [{{parameters}}]\nmodel_files:\n  {model.id}:\n"
            "    location: model.xml\n    language: sbml\nexperiment_files",
        ),
    ):
        place.mkdir(exist_ok=True)
        (place / "model.xml").write_text(text, encoding="utf-8")
        for name, frame in tables.items():
            frame.to_csv(place / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
        indent = "" if place.name == "v2" else "  "
        first = "experiments.tsv" if place.name == "v2" else "model.xml"
        files = "".join(f"{indent}{name}_files: [{name}s.tsv]\n" for name in ("condition", "observable", "measurement"))
        yaml = f"{head.format(parameters='parameters.tsv')}: [{first}]\n{files}"
        (place / "problem.yaml").write_text(yaml, encoding="utf-8")
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

    parameters = [
        {
            "parameterId": p.id,
            "parameterName": p.name,
            "lowerBound": p.lower,
            "upperBound": p.upper,
            "nominalValue": model.values[p.id],
            "parameterScale": "log10",
            "estimate": 1,
            "objectivePriorType": "logNormal",
            "objectivePriorParameters": p.prior_parameters,
        }
        for p in _estimated(model)
    ]
    doses = _single_doses()
    columns = sorted({target for steps in doses.values() for _, target, _ in steps})
    conditions = [
        {"conditionId": key, **{f"dose_{c}": sum(a for _, t, a in steps if t == c) for c in columns}}
        for key, steps in doses.items()
    ]
    single = [t for t in published if _single(t)]
    observables = [
        {
            "observableId": f"observed_{key}",
            "observableName": _NAMES[key],
            "observableFormula": _FORMULAS[key],
            "noiseFormula": f"noiseParameter1_observed_{key}",
            "noiseDistribution": "normal",
        }
        for key in sorted({t.observable for t in single})
    ]
    measurements = [
        {
            "observableId": f"observed_{t.observable}",
            "simulationConditionId": t.experiment,
            "time": t.time,
            "measurement": t.value,
            "noiseParameters": t.error,
        }
        # sorted: pyPESTO pairs conditions in order of appearance with conditions in order of name
        for t in sorted(single, key=lambda t: t.experiment)
    ]
    tables: dict[str, list[dict[str, Any]]] = {
        "parameters": parameters,
        "conditions": conditions,
        "observables": observables,
        "measurements": measurements,
    }
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


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
        problem.add_measurement(
            f"observed_{t.observable}",
            experiment_id=t.experiment,
            time=t.time,
            measurement=t.value,
            noise_parameters=t.error,
        )
    names = ("parameter", "condition", "experiment", "observable", "measurement")
    frames = {f"{name}s": getattr(problem, f"{name}_tables")[0].to_df() for name in names}
    return {name: frame.reset_index() if frame.index.name else frame for name, frame in frames.items()}
