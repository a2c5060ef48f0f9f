"""PEtab problems: published plasma values of methylcobalamin, the parameters behind them with their priors, the model.

Only numbers that a publication reports as a value at a time, or as an area over a stated span, are measurements:
peaks of the mean curve at the published time of the peak, areas, troughs. Half-lives and "at least 93 %" are not.
Noise is the standard error of the published mean; where none was published, the relative error of the same analyte by
the other route is taken, and the table says so. Single doses make a version 1 problem; repeated doses need version 2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.data import read_data
from metabolism.dosing import Regimen, plan, substance
from metabolism.errors import ModelError
from metabolism.exports.events import add_parameter
from metabolism.exports.sbml import sbml_text
from metabolism.model import Model, Parameter, equations
from metabolism.simulation import simulate

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

#: Areas of the exported model, by what they are the area under.
_AREAS = {"area_free": "cbl_free", "area_total": "cbl_plasma"}

#: What a condition sets: whether the model comes to rest, and an intravenous bolus [umol] with its rate of entry [1/h].
RESTING, BOLUS, _ENTRY = "resting", "iv_bolus", 1e6

#: End of every run [h], after the last measurement.
_END = 145.0

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


def _single(target: Target) -> bool:
    return " x " not in target.regimen


def resting_document(model: Model, levels: Mapping[str, float]) -> Any:
    """Return the libsbml document of a model that can be brought to rest, with levels at rest as states.

    While the parameter `RESTING` is 1 each ``<level>_at_rest`` follows what it is named after; a condition before
    whatever is done sets it. What never rests, such as urine, is not measured and stands still here.

    Parameters
    ----------
    levels : mapping of str to float
        Outputs [uM], and where their levels at rest begin.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml_text(model, drawing=False))
    content = document.getModel()
    for name in model.not_at_rest:
        if content.getRateRuleByVariable(name):
            content.removeRuleByVariable(name)
        if species := content.getSpecies(name):
            species.setBoundaryCondition(True)
            species.setConstant(True)
    add_parameter(content, RESTING, 0.0, "per_h", "1 while the model comes to rest, 0 afterwards", constant=False)
    add_parameter(content, "per_hour", 1.0, "per_h", "a share of one per hour")
    for name, begin in levels.items():
        rate = f"{RESTING} * ({name} - {name}_at_rest) * amounts"
        add_state(content, f"{name}_at_rest", begin, f"{name} before anything is done", "", rate)
    return document


def _sbml(model: Model) -> str:
    """The model with areas under the curves and an intravenous bolus as an amount."""
    import libsbml

    rest = simulate(model, None, 1.0, times=[0.0]).curves
    document = resting_document(model, {name: float(rest[name][0]) for name in _AREAS.values()})
    content = document.getModel()
    mass = substance("methylcobalamin").molar_mass
    add_parameter(content, "mass", mass, "dimensionless", "ng/mL per uM methylcobalamin")
    for area, analyte in _AREAS.items():
        change = f"((per_hour - {RESTING}) * ({analyte} - {analyte}_at_rest) - {RESTING} * {area}) * amounts"
        add_state(content, area, 0.0, f"area under {analyte} above rest [uM h]", "", change)
    given = substance("methylcobalamin").routes["iv"][0]
    add_parameter(content, f"{BOLUS}_k", _ENTRY, "per_h", "entry of an intravenous bolus")
    entry = f"{BOLUS}_k * {BOLUS}"
    add_state(content, BOLUS, 0.0, "methylcobalamin given intravenously", given, entry, amount=True)
    text: str = libsbml.writeSBMLToString(document)
    return text


def add_state(content: Any, key: str, value: float, name: str, target: str, rate: str, *, amount: bool = False) -> None:
    """Add a species in 1 L, and the reaction that makes it, or that turns it into `target`."""
    import libsbml

    species, reaction = content.createSpecies(), content.createReaction()
    species.setId(key)
    species.setName(name)
    species.setCompartment("amounts")
    species.setSubstanceUnits("umol")
    species.setHasOnlySubstanceUnits(amount)
    species.setBoundaryCondition(False)
    species.setConstant(False)
    (species.setInitialAmount if amount else species.setInitialConcentration)(value)
    reaction.setId(f"CHANGE_{key}")
    reaction.setReversible(not target)
    ends = [(reaction.createProduct(), target or key)] + ([(reaction.createReactant(), key)] if target else [])
    for reference, of in ends:
        reference.setSpecies(of)
        reference.setStoichiometry(1.0)
        reference.setConstant(True)
    law = libsbml.parseL3Formula(rate)
    for word in sorted({w for w in re.findall(r"[a-z_]+", rate) if content.getSpecies(w)} - {of for _, of in ends}):
        reaction.createModifier().setSpecies(word)
    reaction.createKineticLaw().setMath(law)


def _boluses(regimen: str) -> tuple[tuple[float, str, float], ...]:
    return plan(Regimen.parse(regimen), 0.0, 1e4).boluses


def write_petab(model: Model, folder: Path) -> None:
    """Write two PEtab problems: ``problem.yaml`` (version 1, single doses) and ``v2/problem.yaml`` (repeated doses).

    Each experiment comes to rest before its doses, so that predictions follow a parameter as those of `simulate` do.
    """
    text, published = _sbml(model), targets()
    estimated = _estimated(model, published)
    write_problem(folder, text, _version_1(model, published, estimated))
    write_problem(folder / "v2", text, _version_2(model, published, estimated), model.id)
    assumed = sorted({f"{t.experiment} {t.observable}" for t in published if t.assumed_error})
    readme = (
        f"PEtab problems of {model.id}: published plasma cobalamin after methylcobalamin.\n\n"
        "problem.yaml     version 1: single doses\n"
        "v2/problem.yaml  version 2: the same, and 0.5 mg intravenously once daily (repeated doses)\n\n"
        "Measurements are means of groups, noise is the standard error of the mean. A published Cmax is taken as the\n"
        "value of the mean curve at the published tmax, which understates the mean of the individual peaks.\n"
        f"No error was published for {', '.join(assumed)}: the relative error of the intramuscular value is taken.\n"
        f"Every experiment first comes to rest, under the condition 'rest': while {RESTING} is 1, the levels at rest\n"
        f"follow the model and the areas stay at 0. In version 1 an intravenous dose is the amount {BOLUS},\n"
        "which enters the plasma within a thousandth of a second; in version 2 it is added to the plasma. Urine and\n"
        "the loss of motor units, which never rest, are not measured and stand still.\n"
        "Half-lives, lower limits and urinary recovery are not measurements here.\n"
        f"Parameters and priors: module {MODULE} of parameters.csv, without volumes, which PEtab cannot estimate.\n"
    )
    (folder / "README.txt").write_text(readme, encoding="utf-8")


def write_problem(folder: Path, sbml: str, tables: Mapping[str, pd.DataFrame], second: str = "") -> None:
    """Write the files of one problem, made if missing: model, tables by their kind, and ``problem.yaml``.

    Parameters
    ----------
    second : str, optional
        Id of the model if the tables are those of version 2.
    """
    folder.mkdir(exist_ok=True)
    (folder / "model.xml").write_text(sbml, encoding="utf-8")
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
    head = "format_version: 1\nparameter_file: parameters.tsv\nproblems:\n- sbml_files: [model.xml]\n"
    if second:
        head = (
            f"format_version: 2.0.0\nparameter_files: [parameters.tsv]\nmodel_files:\n  {second}:\n"
            "    location: model.xml\n    language: sbml\nexperiment_files: [experiments.tsv]\n"
        )
    indent = "" if second else "  "
    kinds = [name.removesuffix("s") for name in tables if name not in ("parameters", "experiments")]
    files = "".join(f"{indent}{kind}_files: [{kind}s.tsv]\n" for kind in kinds)
    (folder / "problem.yaml").write_text(head + files, encoding="utf-8")


def second_version(model_id: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Say a problem of version 1 in the tables of version 2: rest is a period that begins at minus infinity.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Of version 1: every experiment comes to rest first, parameters are estimated on the scale of natural logarithms
        with normal priors on it, and each measurement has its own noise. (The converter of petab 0.8.2 drops the
        logarithmic noise.)
    """
    import pandas as pd

    before, during = "preequilibrationConditionId", "simulationConditionId"
    measured, observed, estimated = tables["measurements"], tables["observables"], tables["parameters"]
    pairs = list(measured[[before, during]].itertuples(index=False, name=None))
    names = {pair: f"experiment_{n}" for n, pair in enumerate(dict.fromkeys(pairs), 1)}
    periods = [each for (rest, run), n in names.items() for each in ((n, -math.inf, rest), (n, 0.0, run))]
    conditions = tables["conditions"].melt("conditionId", var_name="targetId", value_name="targetValue").dropna()
    noise = {"lin": "normal", "log": "log-normal"}
    return {
        "parameters": pd.DataFrame(
            {
                "parameterId": estimated["parameterId"],
                "parameterName": estimated["parameterName"],
                "estimate": "true",
                **{name: estimated[name] for name in ("nominalValue", "lowerBound", "upperBound")},
                "priorDistribution": "log-normal",
                "priorParameters": estimated["objectivePriorParameters"],
            }
        ),
        "conditions": conditions.sort_values("conditionId", kind="stable"),
        "experiments": pd.DataFrame(periods, columns=["experimentId", "time", "conditionId"]),
        "observables": observed[["observableId", "observableName", "observableFormula", "noiseFormula"]].assign(
            noiseDistribution=observed["observableTransformation"].map(noise),
            noisePlaceholders=observed["noiseFormula"],
        ),
        "measurements": measured[["observableId", "time", "measurement", "noiseParameters", "datasetId"]].assign(
            modelId=model_id, experimentId=[names[pair] for pair in pairs]
        ),
    }


def _estimated(model: Model, published: list[Target]) -> list[Parameter]:
    """Parameters with a prior that move a measurement; never the sizes of compartments, which PEtab keeps."""
    own = model.table.of(module=MODULE)
    rows = [p for p in own if p.estimate and p.prior == "log-normal" and p.kind != "volume"]
    # the first patient is the model itself, each other one has one parameter raised by half
    raised = 1 + 0.5 * np.eye(len(rows) + 1)[:, 1:]
    patients = {p.id: model.values[p.id] * raised[:, i] for i, p in enumerate(rows)}
    moved = np.zeros(len(rows), dtype=bool)
    for regimen in dict.fromkeys(t.regimen for t in published):
        times = sorted({t.time for t in published if t.regimen == regimen})
        run = simulate(model, regimen, _END, times=times, patients=patients)
        for name in _AREAS.values():
            curve = run.curves[name]
            # one that cannot be run has moved, too
            moved |= ~(np.abs(curve[1:] / curve[0] - 1) <= 1e-6).all(axis=1)
    return [p for p, moves in zip(rows, moved.tolist(), strict=True) if moves]


def _dataset(target: Target) -> str:
    return f"{target.experiment}_{target.observable}"


def _version_1(model: Model, published: list[Target], estimated: list[Parameter]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    parameters = pd.DataFrame(
        [(p.id, p.name, p.lower, p.upper, model.values[p.id], p.prior_parameters) for p in estimated],
        columns=["parameterId", "parameterName", "lowerBound", "upperBound", "nominalValue", _PRIOR],
    )
    fixed: Any = {"parameterScale": "log10", "estimate": 1, "objectivePriorType": "logNormal"}
    parameters = parameters.assign(**fixed, **{_PRIOR: parameters.pop(_PRIOR)})
    into = {substance("methylcobalamin").routes["iv"][0]: BOLUS}
    doses = {t.experiment: {into.get(s, s): a for _, s, a in _boluses(t.regimen)} for t in published if _single(t)}
    given = sorted({place for amounts in doses.values() for place in amounts})
    rows = {"rest": (1.0, {}), **{key: (0.0, amounts) for key, amounts in doses.items()}}
    conditions = pd.DataFrame({"conditionId": list(rows), RESTING: [resting for resting, _ in rows.values()]})
    for place in given:
        conditions[place] = [amounts.get(place, 0.0) for _, amounts in rows.values()]
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
        [(*(f"observed_{t.observable}", "rest", t.experiment), t.time, t.value, t.error, _dataset(t)) for t in ordered],
        columns=[
            *("observableId", "preequilibrationConditionId", "simulationConditionId", "time", "measurement"),
            *("noiseParameters", "datasetId"),
        ],
    )
    plots = measurements[["datasetId", "simulationConditionId", "observableId"]].drop_duplicates()
    visualizations = pd.DataFrame(
        {
            "plotId": plots["observableId"].str.replace("observed_", "plot_"),
            "plotName": [_NAMES[k.removeprefix("observed_")] for k in plots["observableId"]],
            "plotTypeSimulation": "LinePlot",
            "plotTypeData": "provided",
            "datasetId": plots["datasetId"],
            "xValues": "time",
            "xLabel": "time [h]",
            "yValues": plots["observableId"],
            "legendEntry": plots["simulationConditionId"],
        }
    )
    tables = {"parameters": parameters, "conditions": conditions, "observables": observables}
    return tables | {"measurements": measurements, "visualizations": visualizations}


def _version_2(model: Model, published: list[Target], estimated: list[Parameter]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    rows = [(p.id, "true", model.values[p.id], p.lower, p.upper, "log-normal", p.prior_parameters) for p in estimated]
    columns = [
        "parameterId",
        "estimate",
        "nominalValue",
        "lowerBound",
        "upperBound",
        "priorDistribution",
        "priorParameters",
    ]
    conditions: dict[str, tuple[str, str, Any]] = {"rest": ("rest", RESTING, 1.0), "begin": ("begin", RESTING, 0.0)}
    periods: list[tuple[str, float, str]] = []
    volumes = equations(model).volume
    for key, regimen in dict.fromkeys((t.experiment, t.regimen) for t in published):
        periods += [(key, -math.inf, "rest"), (key, 0.0, "begin")]
        for time, species, amount in _boluses(regimen):
            place = volumes.get(species)
            condition = f"give_{amount:.6g}_umol_{species}".replace(".", "p")
            rise = f"{amount!r} / {place}" if place else repr(amount)
            conditions[condition] = (condition, species, f"{species} + {rise}")
            periods.append((key, time, condition))
    keys = list(dict.fromkeys(t.observable for t in published))
    observables = [(f"observed_{k}", _NAMES[k], _FORMULAS[k], f"noise_{k}", "normal", f"noise_{k}") for k in keys]
    measurements = [(model.id, f"observed_{t.observable}", t.experiment, t.time, t.value, t.error) for t in published]
    tables: dict[str, tuple[str, list[Any]]] = {
        "conditions": ("conditionId targetId targetValue", list(conditions.values())),
        "experiments": ("experimentId time conditionId", periods),
        "observables": (
            "observableId observableName observableFormula noiseFormula noiseDistribution noisePlaceholders",
            observables,
        ),
        "measurements": ("modelId observableId experimentId time measurement noiseParameters", measurements),
    }
    frames = {name: pd.DataFrame(cells, columns=head.split()) for name, (head, cells) in tables.items()}
    return {"parameters": pd.DataFrame(rows, columns=columns), **frames}
