"""Own observations on a run: what was measured beside what the model says, and how far apart they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import Implausible, InvalidValue
from metabolism.simulation.result import Result
from metabolism.simulation.views import clock, shown
from metabolism.tables import check_head, column, read_table
from metabolism.types import Array
from metabolism.units import magnitude

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


#: Observations without a unit that differ by more than this from the run are probably in another unit.
FAR = 100.0

#: Columns that observations must have, and those they may have.
NEEDED, ALLOWED = ("time", "output", "value"), ("unit", "patient", "sd", "arm")


@dataclass(frozen=True, eq=False)
class Overlay:
    """Observations beside a run.

    Attributes
    ----------
    result : Result
    residuals : DataFrame
        One row per observation: ``patient``, ``output``, ``time`` [h], ``observed``, ``predicted``, ``residual``
        (observed minus predicted), ``sd`` and ``unit`` (of the model), ``standardized`` (residual over sd).
    """

    result: Result
    residuals: pd.DataFrame = field(repr=False)

    @property
    def statistics(self) -> pd.DataFrame:
        """Agreement by output.

        ``n``, ``bias`` and ``rmse`` (mean and root mean square of the residuals), ``r2`` (of the line of identity),
        ``gmfe`` (geometric mean of the fold errors) and ``within_twofold`` (share of observations); ``unit``.
        """
        import pandas as pd

        rows: dict[str, tuple[Any, ...]] = {}
        for name in self.residuals["output"].unique():
            seen, said, left, unit = (
                self._of(name)[c].to_numpy() for c in ("observed", "predicted", "residual", "unit")
            )
            with np.errstate(all="ignore"):
                fold, square = np.abs(np.log(seen / said)), (left**2).mean()
                rows[name] = (
                    len(left),
                    left.mean(),
                    np.sqrt(square),
                    1 - square / (seen.var() or np.nan),
                    np.exp(fold.mean()),
                )
            rows[name] += ((fold <= np.log(2)).mean(), unit[0])
        columns = ["n", "bias", "rmse", "r2", "gmfe", "within_twofold", "unit"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("output")

    def plot(self, *, units: str = "clinical", title: str | None = None) -> Figure:
        """Draw the observations, with one sd where there is one, on the curves of their outputs."""
        from metabolism.plotting import COLOURS

        names = list(self.residuals["output"].unique())
        figure = self.result.plot(names, units=units, title=title)
        hours = clock(float(self.result.curves["time"][-1]))[1]
        for panel, name in zip(figure.axes, names, strict=False):
            part, factor = self._of(name), shown(name, self.result.units[name], units).factor
            sd = part["sd"] * factor if part["sd"].notna().any() else None
            panel.errorbar(
                part["time"] / hours, part["observed"] * factor, sd, fmt="o", ms=4, color=COLOURS["orange"], capsize=2
            )
        return figure

    def goodness_of_fit(self, *, units: str = "clinical") -> Figure:
        """Draw observed against predicted with the line of identity, and residuals over time and over prediction.

        Of values that span more than a factor of 50 the residual is observed over predicted.
        """
        from metabolism.plotting import COLOURS, new_figure, style

        names = list(self.residuals["output"].unique())
        with style():
            figure, axes = new_figure(len(names), 3, width=11.0, height=0.4 + 3.0 * len(names))
            for row, name in zip(axes, names, strict=True):
                how, part = shown(name, self.result.units[name], units), self._of(name)
                seen, said, left = (part[c] * how.factor for c in ("observed", "predicted", "residual"))
                ends = [min(seen.min(), said.min()), max(seen.max(), said.max())]
                row[0].plot(ends, ends, color=COLOURS["grey"], linewidth=1, linestyle="--")
                day, hours, _ = clock(float(self.result.curves["time"][-1]))
                time = f"time [{day}{'' if day == 'h' else 's'}]"
                predicted, what = f"predicted {how.label} [{how.unit}]", f"{how.label} [{how.unit}]"
                folds = ends[0] > 0 and ends[1] > 50 * ends[0]
                if folds:
                    left = seen / said
                pairs = ((said, seen, predicted), (part["time"] / hours, left, time), (said, left, predicted))
                for panel, (x, y, text) in zip(row, pairs, strict=True):
                    panel.plot(x, y, "o", ms=4, color=COLOURS["blue"])
                    panel.set_xlabel(text)
                    apart = f"{how.label}, observed / predicted" if folds else f"residual {what}"
                    panel.set_ylabel(f"observed {what}" if panel is row[0] else apart)
                    panel.set(yscale="log" if folds else "linear")
                    if panel is not row[0]:
                        panel.axhline(float(folds), color=COLOURS["grey"], linewidth=1, linestyle="--")
                    if folds and x is said:
                        panel.set_xscale("log")
                    if folds and panel is not row[0]:
                        panel.yaxis.set(major_formatter="{x:g}", minor_formatter="{x:.2g}")
        return figure

    def _of(self, name: str) -> pd.DataFrame:
        return self.residuals[self.residuals["output"] == name]

    def _repr_html_(self) -> str:
        html: str = self.statistics.to_html(float_format="{:.4g}".format)
        return html


def overlay(result: Result, data: pd.DataFrame | str | Path) -> Overlay:
    """Put observations beside a run.

    Parameters
    ----------
    result : Result
        For exact predictions at the times of observation run it with ``simulate(..., add=times)``.
    data : DataFrame, str or Path
        A table, or a CSV file. Columns ``time`` (a number is in hours, or text such as ``2 weeks``), ``output`` and
        ``value``; and, if wanted, ``unit`` (by default that of the model), ``patient`` (row of the run; by default its
        only patient, or the median of all), ``sd`` [as value], and ``arm`` (one for all). `Result.to_dataframe` gives
        such a table.

    Raises
    ------
    InvalidValue, UnknownName, UnitMismatch
        For a column, cell, output, unit, time or patient that cannot be.

    Examples
    --------
    >>> import pandas as pd
    >>> from metabolism.model import load
    >>> from metabolism.simulation import simulate
    >>> seen = pd.DataFrame({"time": ["1 d"], "output": ["hcy_plasma"], "value": [9000.0], "unit": ["nmol/L"]})
    >>> overlay(simulate(load(), "1 mg im", "2 d"), seen).residuals["observed"].tolist()
    [9.0]
    """
    import pandas as pd

    where = f"'{Path(data).name}'" if isinstance(data, (str, Path)) else "the table of observations"
    if isinstance(data, (str, Path)):
        data = pd.DataFrame(read_table(data, NEEDED, more=True), dtype=object)
    check_head(data.columns, (*NEEDED, *ALLOWED), where)
    missing = [name for name in NEEDED if name not in data]
    if missing or data.empty:
        raise InvalidValue(
            f"{where} has no {f'column {missing[0]}' if missing else 'rows'}; needed: {', '.join(NEEDED)}."
        )
    if "arm" in data and data["arm"].nunique() > 1:
        raise InvalidValue(f"{where} has {data['arm'].nunique()} arms, and a run is of one; overlay them one by one.")
    cells: Mapping[str, Sequence[Any]] = {str(name): data[name].tolist() for name in data}
    times = np.array([_hours(cell) for cell in cells["time"]])
    begin, end = result.curves["time"][[0, -1]]
    if not ((times >= begin) & (times <= end)).all():
        raise InvalidValue(f"{where} has a time outside the run, which covers {begin:g} to {end:g} h; run longer.")
    names = result.chosen([str(cell) for cell in cells["output"]])
    # an empty cell of a table is NaN
    units = ["" if pd.isna(unit) else str(unit).strip() for unit in cells.get("unit", [""] * len(names))]
    pairs = list(zip(names, units, strict=True))
    factors = {pair: _factor(result, *pair) for pair in set(pairs)}
    scale = np.array([factors[pair] for pair in pairs])
    table = pd.DataFrame(
        {"patient": _patients(result, cells.get("patient"), len(names)), "output": names, "time": times}
    )
    table["observed"] = column(cells["value"], "value") * scale
    table["predicted"] = _predicted(result, table)
    table["residual"] = table["observed"] - table["predicted"]
    table["sd"] = column(cells["sd"], "sd") * scale if "sd" in cells else np.nan
    if not np.isfinite(table["observed"]).all() or (table["sd"] <= 0).any():
        raise InvalidValue(
            f"{where} has a value that is not finite, or an sd that is not above 0; leave those rows out."
        )
    table["unit"] = [shown(n, result.units[n], "model").unit for n in names]
    table["standardized"] = table["residual"] / table["sd"]
    for name in sorted({name for name, unit in pairs if not unit}):
        own = table[table["output"] == name]
        fold = float(own["observed"].abs().median() / (own["predicted"].abs().median() or np.nan))
        if fold > FAR or fold < 1 / FAR:
            taken, clinic = (shown(name, result.units[name], which).unit for which in ("model", "clinical"))
            warnings.warn(
                Implausible(
                    f"{where} gives no unit for '{name}', so its values are taken in {taken}: {fold:.2g} times those "
                    f"of the run. Add a column 'unit', e.g. with {clinic}."
                ),
                stacklevel=2,
            )
    return Overlay(result, table)


def _hours(cell: Any) -> float:
    text = str(cell).strip()
    # a plain number is in hours here, as the head of the column says
    return magnitude(text if text[-1:].isalpha() else float(column([cell], "time")[0]), "h", "time")


def _factor(result: Result, name: str, unit: str) -> float:
    """What one of a unit is in the unit of the model."""
    own = result.units[name]
    known = {"": 1.0, own: 1.0} | {h.unit: 1 / h.factor for h in (shown(name, own), shown(name, own, "model"))}
    return known[unit] if unit in known else magnitude(f"1 {unit}", own, f"unit of {name}")


def _patients(result: Result, cells: Sequence[Any] | None, rows: int) -> Any:
    count = result.manifest["patients"] or 1
    # -1: nobody in particular
    found = np.full(rows, 0.0 if count == 1 else -1.0) if cells is None else column(cells, "patient")
    if cells is not None and not np.isin(found, np.arange(count)).all():
        raise InvalidValue(f"column 'patient' must hold whole numbers from 0 to {count - 1}, the rows of the run.")
    return found.astype(int)


def _predicted(result: Result, table: pd.DataFrame) -> Array:
    found, who = np.empty(len(table)), table["patient"].to_numpy()
    for name in table["output"].unique():
        rows = np.flatnonzero(table["output"] == name)
        people = np.atleast_2d(result.curve(name).at(table["time"].to_numpy()[rows]))
        found[rows] = np.where(who[rows] < 0, np.nanmedian(people, axis=0), people[who[rows], np.arange(len(rows))])
    return found
