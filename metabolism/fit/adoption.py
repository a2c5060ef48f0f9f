"""What a fit leaves behind: a parameter set with errors and covariance, profiles, draws, a report.

`write_fit` makes a folder of tables; `adopt` puts the fitted values into ``models/parameters.csv`` with
``fit:<id>`` as their source, and the tables into ``models/fits/<id>``.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metabolism.cases import left_out_score, score
from metabolism.data import models_dir
from metabolism.errors import MetabolismError
from metabolism.files import write_text
from metabolism.fit.left_out import LeftOut
from metabolism.fit.objective import NEAR, Fit, Objective
from metabolism.fit.posterior import Profile, Sample
from metabolism.model import parameter_table, rewrite_table, write_rows
from metabolism.tables import read_table
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


#: Between these the README says how unseen studies were predicted.
_MARKS = ("<!-- left-out studies: written by `metabolism fit --adopt` -->", "<!-- end of left-out studies -->")

_VALUES = ("parameterId", "value", "source")

#: Tables of a fit, by file name.
TABLES = (
    *("values.csv", "covariance.csv", "profiles.csv", "residuals.csv", "posterior.csv"),
    *("left_out.csv", "residual_sd.csv", "report.md"),
)


def write_fit(
    folder: Path,
    objective: Objective,
    fit: Fit,
    walls: Sequence[Profile],
    sample: Sample,
    left: LeftOut,
    free: Fit | None = None,
) -> Path:
    """Write the tables and the report of a fit into a folder; each file appears complete or not at all.

    What is said of the uncertainty of a parameter (interval, standard error, covariance, correlation) is that of the
    draws, which keep to the bounds; nothing else is.

    Parameters
    ----------
    folder : Path
    objective, fit, walls, sample : Objective, Fit, sequence of Profile, Sample
    left : LeftOut
        Studies predicted by fits that had not seen them.
    free : Fit, optional
        The fit without the constraints of the must-pass rows: the report says what they cost.
    """
    import pandas as pd

    names, table = list(objective.names), objective.model.table
    verdicts = {p.parameter: p.verdict for p in walls}
    logs = np.log(sample.draws[names].to_numpy())
    covariance = np.atleast_2d(np.cov(logs.T))
    low, high = np.exp(np.quantile(logs, [0.025, 0.975], axis=0))
    near = np.minimum(fit.x - objective.low, objective.high - fit.x) < NEAR * (objective.high - objective.low)
    columns = {"parameterId": names, "value": np.exp(fit.x), "unit": [table[n].unit for n in names]}
    columns |= {"se_log": np.sqrt(np.diag(covariance)), "low95": low, "high95": high}
    columns |= {"prior_median": np.exp(objective.centre), "prior_sd_log": objective.sd, "at_bound": near.tolist()}
    columns |= {"verdict": [verdicts.get(n, "no profile") for n in names], "source": f"fit:{fit.definition.id}"}
    values = pd.DataFrame(columns)
    spread = pd.DataFrame(covariance, columns=names)
    spread.insert(0, "parameterId", names)
    lines = [(p.parameter, v, r) for p in walls for v, r in zip(p.values, p.rise, strict=True)]
    residuals = _compared(objective, fit)
    folder.mkdir(parents=True, exist_ok=True)
    risen = pd.DataFrame(lines, columns=["parameterId", "value", "rise"])
    frames = {"values": values, "covariance": spread, "residuals": residuals, "profiles": risen}
    frames |= {"posterior": sample.draws, "left_out": left.rows, "residual_sd": left.sds}
    for name, frame in frames.items():
        write_text(folder / f"{name}.csv", frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(folder / "report.md", _report(objective, fit, values, covariance, residuals, sample, left, free))
    return folder


def _compared(objective: Objective, fit: Fit) -> pd.DataFrame:
    """Observed and predicted values of the rows, with their bands and residuals."""
    import pandas as pd

    predicted = objective.predictions(fit.x[None]).values[:, 0]
    rows = [(r.id, r.observed, v, r.low, r.high, r.unit) for r, v in zip(objective.rows, predicted, strict=True)]
    table = pd.DataFrame(rows, columns=["row", "observed", "predicted", "low", "high", "unit"])
    return table.assign(residual_sd=objective.data_residuals(predicted[:, None])[0])


def _outside(compared: pd.DataFrame) -> str:
    inside = (compared["predicted"] >= compared["low"]) & (compared["predicted"] <= compared["high"])
    return ", ".join(compared.loc[~inside, "row"]) or "none"


def _report(
    objective: Objective,
    fit: Fit,
    values: pd.DataFrame,
    covariance: Array,
    residuals: pd.DataFrame,
    sample: Sample,
    left: LeftOut,
    free: Fit | None,
) -> str:
    d, rows, names = fit.definition, objective.rows, fit.definition.parameters
    chi, own = float((residuals["residual_sd"] ** 2).sum()), float((fit.residuals[-len(fit.x) :] ** 2).sum())
    costs = ", ".join(f"{float(s['cost']):.2f}" for s in fit.starts)
    beyond = values[(values["value"] < values["low95"]) | (values["value"] > values["high95"])]["parameterId"]
    strong = [
        f"{names[i]} and {names[j]} ({r:+.2f})"
        for i in range(len(names))
        for j in range(i)
        if abs(r := covariance[i, j] / np.sqrt(covariance[i, i] * covariance[j, j])) > 0.8
    ]
    text = [
        f"# Fit {d.id}: {d.title}",
        "",
        f"{len(d.parameters)} parameters, {len(rows)} rows of role {d.role} from {', '.join(d.cases)}; everything else "
        "is fixed at its value in `parameters.csv`. Half an acceptance band stands for "
        f"{d.band_sd} standard deviations of a residual.",
        "",
        f"- Sum of squared residuals: data {chi:.1f}, priors {own:.1f}.",
        f"- Starts: {len(fit.starts)}, costs {costs}.",
        f"- Rows outside their band: {_outside(residuals)}.",
        f"- Parameters at a bound: {', '.join(values.loc[values['at_bound'], 'parameterId']) or 'none'}.",
        f"- Correlations above 0.8 in size: {', '.join(strong) or 'none'}.",
    ]
    if free is not None:
        text.append(
            "- Must-pass rows are constraints of the search, and of nothing else. Without them the sum of squares, "
            f"priors included, would be {2 * free.cost:.1f} in place of {chi + own:.1f}, and rows outside their band: "
            f"{_outside(_compared(objective, free))}. Fitted values they hold outside the 95 % of the draws: "
            f"{', '.join(beyond) or 'none'}."
        )
    text += [
        f"- Posterior: {len(sample.draws)} draws resampled from {sample.proposals} candidates; effective sample size "
        f"{sample.effective:.0f}, Pareto k {sample.pareto_k:.2f} (below 0.7 the weights can be trusted).",
        "",
        "## Prediction",
        "",
        f"- {score(d.id, left.rows.to_dict('records'))}.",
        f"- Left-out rows outside their band: {_outside(left.rows[~left.rows['put_in']])}. No must-pass "
        "constraint holds these fits. Largest step a fit without a study still wanted when it was stopped: "
        f"{left.rows['step_left'].max():.2g} standard errors.",
        "- Residual between studies, beside the spread of the parameters (standard deviation of the logarithm of a "
        "level, of the logarithm of 1 + x/100 for a change in per cent, in half bands for a difference): "
        + (", ".join(f"{c} {sd:.3g} ({n} rows)" for c, n, sd in left.sds.itertuples(index=False)) or "none")
        + ".",
        "",
        "## Parameters",
        "",
        "| parameter | unit | prior (median, log-SD) | fitted | 95 % of draws | bounded by rows and other priors |",
        "|---|---|---|---|---|---|",
    ]
    for v in values.to_dict("records"):
        text.append(
            f"| `{v['parameterId']}` | {v['unit']} | {v['prior_median']:.3g}, {v['prior_sd_log']:.2g} "
            f"| {v['value']:.3g} | {v['low95']:.3g} to {v['high95']:.3g} | {v['verdict']} |"
        )
    text += [
        "",
        "A verdict asks whether the rows bound a parameter at the 95 % level within the range searched (2.5 prior SD,",
        "or its bounds). It conditions on the priors of all the other fitted parameters, on the fixed values of",
        "`parameters.csv` and on the structure; the parameter's own prior and the must-pass constraints are left out.",
        "",
    ]
    return "\n".join(text)


def adopt(folder: Path, tables: Sequence[str] = TABLES) -> int:
    """Put a written fit into the model: values, draws and tables; return how many rows of the table changed.

    The README of a checkout says anew how the adopted fits predicted studies they had not seen.

    Parameters
    ----------
    folder : Path
    tables : sequence of str
        What belongs to the fit: `TABLES`, or those of a fit of placebo arms.

    Raises
    ------
    MetabolismError
        If the folder is not a complete fit.
    """
    missing = [name for name in tables if not (folder / name).is_file()]
    if missing:
        raise MetabolismError(f"'{folder}' is not a complete fit: {', '.join(missing)} missing; run `metabolism fit`.")
    fitted = {row["parameterId"]: row for row in read_table(folder / "values.csv", _VALUES, more=True)}
    rows = read_table(models_dir() / "parameters.csv", ("parameterId", "nominalValue", "source"), more=True)
    for row in rows:
        if own := fitted.get(row["parameterId"]):
            prior = [k for k in row["source"].split(";") if not k.startswith("fit:") and k != "derived"]
            row["nominalValue"], row["source"] = repr(float(own["value"])), ";".join([own["source"], *prior])
    write_rows(rows)
    name = next(iter(fitted.values()))["source"].removeprefix("fit:")
    target = models_dir() / "fits" / name
    target.mkdir(parents=True, exist_ok=True)
    for table in tables:
        shutil.copyfile(folder / table, target / table)
    rewrite_table()
    readme = models_dir().parent / "README.md"
    if readme.is_file():
        write_text(readme, with_coverage(readme.read_text(encoding="utf-8")))
    return len(fitted)


def with_coverage(page: str) -> str:
    """Return a page with what the adopted fits predicted of unseen studies between its two marks."""
    lines = "\n".join(f"- {line[0].upper()}{line[1:]}." for line in left_out_score())
    return re.sub(rf"(?<={_MARKS[0]}\n).*?(?={_MARKS[1]})", lambda _: f"{lines}\n", page, flags=re.DOTALL)


def fitted_values(name: str) -> dict[str, float]:
    """Return the values of an adopted fit by parameter id [table units]."""
    path = models_dir() / "fits" / name / "values.csv"
    if not path.is_file():
        raise MetabolismError(f"there is no fit '{name}' in models/fits.")
    return {row["parameterId"]: float(row["value"]) for row in read_table(path, _VALUES, more=True)}


def fit_problems() -> list[str]:
    """List rows of the parameter table that cite a fit which does not exist or gave another value."""
    problems = []
    for p in parameter_table().values():
        for name in (k.removeprefix("fit:") for k in p.source.split(";") if k.startswith("fit:")):
            try:
                value = fitted_values(name).get(p.id, math.nan)
            except MetabolismError as error:
                problems.append(f"{p.id}: {error}")
                continue
            if not math.isclose(value, p.value, rel_tol=1e-9):
                problems.append(f"{p.id} = {p.value!r}, but fit '{name}' gave {value!r}; run `metabolism fit --adopt`.")
    return problems
