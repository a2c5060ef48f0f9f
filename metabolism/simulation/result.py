"""Labelled results: xarray data with units, the dose ledger and a manifest, saved without pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, OutputError, UnknownName, UsageError
from metabolism.files import write_atomically
from metabolism.simulation.curves import PANELS, Curve
from metabolism.simulation.endpoints import summary
from metabolism.simulation.views import Plain, draw, exposure, last_interval, shown
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure


#: Variables of the dataset that are not outputs.
_BOOKKEEPING = ("asked", "delivered", "failed", "failure_time")


#: Largest size of a netCDF 3 file, with room for its head [bytes].
CLASSIC = 2**31 - 2**24


class Result:
    """Outputs over time, and everything needed to trust and repeat them.

    Parameters
    ----------
    data : xarray.Dataset or callable
        The dataset, or a function that makes it when it is first asked for (xarray and pandas are slow to wake).
    plain : Plain, optional
        The same without labels.

    Attributes
    ----------
    data : xarray.Dataset
        One variable per output with dimensions (time,) or (patient, time) and ``attrs["units"]``; the values just
        before each dose or change as ``<output>_pre_dose`` over ``dose_time``; the ledger as ``asked`` and
        ``delivered`` over ``target`` [µmol] (absent without doses); ``failed`` and ``failure_time`` [h] per patient.
    """

    def __init__(self, data: xr.Dataset | Callable[[], xr.Dataset], plain: Plain | None = None) -> None:
        self._data, self._given = data, plain

    @cached_property
    def data(self) -> xr.Dataset:
        return self._data() if callable(self._data) else self._data

    @cached_property
    def _plain(self) -> Plain:
        if self._given is not None:
            return self._given
        outputs = [n for n in map(str, self.data.data_vars) if n not in _BOOKKEEPING and not n.endswith("_pre_dose")]
        return Plain(
            {name: self.data[name].values for name in ("time", *outputs)},
            {name: str(self.data[name].attrs["units"]) for name in outputs},
            json.loads(self.data.attrs["manifest"]),
            PANELS.items() <= self.data["time"].attrs.items(),
            {
                str(target): (float(self.data["asked"][..., i].sum()), float(self.data["delivered"][..., i].sum()))
                for i, target in enumerate(self.data["target"].values if "asked" in self.data else ())
            },
        )

    @property
    def curves(self) -> Mapping[str, Array]:
        """Times [h] under ``time``, and each output under its id, as plain arrays."""
        return self._plain.curves

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of each output."""
        return self._plain.units

    def __reduce__(self) -> tuple[Any, ...]:
        return Result, (self.data,)

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.data.data_vars:
            raise UnknownName("output", name, self.outputs, "Ask for it with simulate(outputs=[...]).")
        return self.data[name]

    @property
    def outputs(self) -> list[str]:
        """Ids of the outputs over time."""
        return [name for name in self.curves if name != "time"]

    def _ipython_key_completions_(self) -> list[str]:
        return self.outputs

    @property
    def manifest(self) -> dict[str, Any]:
        """Model and parameter hashes, sets, regimen, engine, tolerances, versions and seed."""
        return dict(self._plain.manifest)

    @property
    def arm(self) -> str:
        """The regimen in words."""
        return str(self._plain.manifest["regimen"])

    def chosen(self, outputs: str | Sequence[str] | None = None) -> list[str]:
        """Return the outputs meant, all without any named; a name that is none of them is refused."""
        names = [outputs] if isinstance(outputs, str) else list(outputs or self.outputs)
        for name in names:
            if name not in self.outputs:
                raise UnknownName("output", name, self.outputs, "Ask for it with simulate(outputs=[...]).")
        return names

    def curve(self, name: str) -> Curve:
        """Return an output to be read at any time: `Curve.at`, `Curve.area`, `Curve.top`."""
        return Curve(self.curves["time"], self.curves[self.chosen(name)[0]], self._plain.panels)

    @property
    def doses(self) -> Mapping[str, tuple[float, float]]:
        """Amounts asked and delivered per dose target [µmol], summed over patients, as plain numbers."""
        return self._plain.ledger

    @property
    def ledger(self) -> pd.DataFrame:
        """Amount asked and delivered per dose target [µmol], summed over patients; empty without doses."""
        import pandas as pd

        index = pd.Index(list(self.doses), name="target", dtype=object)
        return pd.DataFrame(list(self.doses.values()), index, columns=["asked", "delivered"], dtype=float)

    @property
    def failures(self) -> dict[int, str]:
        """Failed patients and why; the time each reached is ``data["failure_time"]`` [h]."""
        return {int(i): reason for i, reason in json.loads(self.data.attrs.get("failures", "{}")).items()}

    def band(self, name: str, level: float = 0.9) -> xr.Dataset:
        """Return the median and the central interval of an output over patients or draws [unit of the output].

        Parameters
        ----------
        level : float
            Probability inside the interval.

        Raises
        ------
        InvalidValue
            If the result holds one patient, or the level is not between 0 and 1.
        """
        import xarray as xr

        curve = self[name]
        if "patient" not in curve.dims or not 0 < level < 1:
            raise InvalidValue(
                "a band needs many patients or draws (patients=mb.draws(model, 200)) and a level in 0-1."
            )
        tail = (1 - level) / 2
        quantiles = curve.quantile([tail, 0.5, 1 - tail], dim="patient", skipna=True)
        parts = [quantiles.isel(quantile=i, drop=True).assign_attrs(curve.attrs) for i in range(3)]
        return xr.Dataset(dict(zip(("low", "median", "high"), parts, strict=True)))

    def bands(self, level: float = 0.9) -> pd.DataFrame:
        """Return `band` of every output as a table with columns ``<output> low``, ``median`` and ``high``."""
        import pandas as pd

        bands = {name: self.band(name, level) for name in self.outputs}
        parts = {f"{name} {part}": found[part].values for name, found in bands.items() for part in found}
        return pd.DataFrame({"time": self.curves["time"], **parts})

    def frame(self) -> pd.DataFrame:
        """Return the outputs as a tidy table, one row per time (and patient)."""
        import pandas as pd

        times, values = self.curves["time"], {n: self.curves[n] for n in self.outputs}
        count = max(v.size for v in values.values()) // max(len(times), 1)
        many = any(v.ndim > 1 for v in values.values())
        who = {"patient": np.repeat(np.arange(count), len(times))} if many else {}
        return pd.DataFrame(who | {"time": np.tile(times, count)} | {n: v.ravel() for n, v in values.items()})

    def to_dataframe(self, *, units: str = "model") -> pd.DataFrame:
        """Return one row per patient, time and output, so that frames of several arms can be put together.

        Parameters
        ----------
        units : {"model", "clinical"}

        Returns
        -------
        DataFrame
            Columns ``patient``, ``arm`` (the regimen), ``time`` [h], ``output``, ``value`` and ``unit``.
        """
        import pandas as pd

        times, parts = self.curves["time"], []
        for name in self.outputs:
            how, values = shown(name, self.units[name], units), np.atleast_2d(self.curves[name])
            who, when = np.repeat(np.arange(len(values)), len(times)), np.tile(times, len(values))
            columns = {
                "patient": who,
                "arm": self.arm,
                "time": when,
                "output": name,
                "value": values.ravel() * how.factor,
            }
            parts.append(pd.DataFrame({**columns, "unit": how.unit}))
        return pd.concat(parts, ignore_index=True)

    def nca(
        self, output: str = "cbl_plasma", window: tuple[float, float] | None = None, *, units: str = "model"
    ) -> pd.DataFrame:
        """Return the exposure over a dosing interval, of the curve as it is measured, endogenous share included.

        Parameters
        ----------
        output : str
        window : (float, float), optional
            Begin and end [h]; by default from the last dose of a cobalamin to when the next would follow.
        units : {"model", "clinical"}

        Returns
        -------
        DataFrame
            Cmax, Cmin, Ctrough (just before the next dose), Cavg, AUCtau, tmax (since the begin of the window) and the
            half-life of the rise above the value at time 0, by the rules of `metabolism.endpoints`: ``unit``,
            ``median`` and central 90 % of the patients, ``n``. The window is in ``attrs["window"]`` [h].

        Raises
        ------
        UnknownName, InvalidValue

        Examples
        --------
        >>> from metabolism.model import load
        >>> from metabolism.simulation import simulate
        >>> simulate(load(), "1 mg im", "1 d", outputs="cbl_plasma").nca(units="clinical")["unit"].to_dict()["AUCtau"]
        'pmol/L h'
        """
        (begin, end), read = self.exposure(output, window, units=units)
        table = summary([(name, unit, values) for name, (unit, values) in read.items()], 0.9)
        table.attrs["window"] = (begin, end)
        return table

    def exposure(
        self, output: str = "cbl_plasma", window: tuple[float, float] | None = None, *, units: str = "model"
    ) -> tuple[tuple[float, float], dict[str, tuple[str, Array]]]:
        """Return the window [h], and of each number of `nca` its unit and one value, or one per patient."""
        if self._plain.foreign:
            raise UsageError(
                "exposure is read between doses of our own model; ask for endpoints of a model from a file."
            )
        curve, times = self.curve(output), self.curves["time"]
        doses = Regimen.parse(self.arm).until(times[-1]).doses
        begin, end = window or last_interval(doses, float(times[-1]))
        if not times[0] <= begin < end <= times[-1]:
            raise InvalidValue(
                f"window = ({begin:g}, {end:g}) must lie inside the run, {times[0]:g} to {times[-1]:g} h."
            )
        how = shown(output, self.units[output], units)
        read = exposure(curve, begin, end).items()
        return (begin, end), {
            n: (u.format(how.unit, time="h"), v * (how.factor if "{}" in u else 1.0)) for n, (u, v) in read
        }

    def plot(
        self,
        outputs: str | Sequence[str] | None = None,
        *,
        beside: Mapping[str, Result] | None = None,
        units: str = "clinical",
        level: float = 0.9,
        title: str | None = None,
    ) -> Figure:
        """Draw outputs over time, one panel each.

        Parameters
        ----------
        outputs : str or sequence of str, optional
            All by default.
        beside : mapping of str to Result, optional
            Other runs, by the name that the legend gives them.
        units : {"clinical", "model"}
        level : float
            Of many patients the median is drawn, and this central share of them as a band.
        title : str, optional
            The regimen by default.

        Returns
        -------
        matplotlib.figure.Figure
        """
        arms = {self.arm: self, **(beside or {})}
        plain = {name: arm._plain for name, arm in arms.items()}
        return draw(plain, self.chosen(outputs), units=units, level=level, title=self.arm if title is None else title)

    def __repr__(self) -> str:
        times, many = self.curves["time"], self._plain.manifest["patients"]
        return (
            f"<Result: {self.arm}; {'1 patient' if many is None else f'{many} patients'}, "
            f"{times[0]:g} to {times[-1]:g}{self._plain.time_unit and ' '}{self._plain.time_unit}, {len(times)} times; "
            f"{', '.join(self.outputs)}>"
        )

    def _repr_html_(self) -> str:
        import html

        import pandas as pd

        units = "model" if self._plain.foreign else "clinical"
        ends = {n: (shown(n, self.units[n], units), np.atleast_2d(self.curves[n])[:, [0, -1]]) for n in self.outputs}
        rows = {f"{h.label} [{h.unit}]": np.nanmedian(v * h.factor, axis=0) for h, v in ends.values()}
        table = pd.DataFrame(rows, index=["start", "end"]).T.assign(change=lambda t: t["end"] - t["start"])
        return f"<p>{html.escape(repr(self).split(';')[0].strip('<'))}</p>{table.to_html(float_format='{:.4g}'.format)}"

    def save(self, path: str | Path) -> Path:
        """Write netCDF; the file appears complete or not at all.

        Above 2 GiB, which netCDF 3 cannot hold, it is netCDF 4.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        engine: Any = "scipy" if self.data.nbytes < CLASSIC else "h5netcdf"
        marked = self.data.assign_attrs(sha256=_digest(self.data))
        return write_atomically(path, lambda part: marked.to_netcdf(part, engine=engine))

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read a saved result.

        Raises
        ------
        OutputError
            If the file is missing, was not written by `save`, or is not what was written.
        """
        import xarray as xr

        try:
            with open(path, "rb") as file:
                classic = file.read(3) == b"CDF"
            with xr.open_dataset(path, engine="scipy" if classic else "h5netcdf") as saved:
                data = saved.load()
        except (OSError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError, MemoryError) as error:
            raise OutputError(f"'{path}' cannot be read as a saved result ({error}).") from None
        if "manifest" not in data.attrs:
            raise OutputError(f"'{path}' has no manifest; it was not written by Result.save().")
        if data.attrs.pop("sha256", None) not in (None, _digest(data)):
            raise OutputError(f"'{path}' is damaged: it does not hold what was written; take a copy, or run it again.")
        return cls(data)


def _digest(data: xr.Dataset) -> str:
    """SHA-256 of everything in a data set, whatever the types that a file keeps numbers and texts in."""
    digest = hashlib.sha256()
    for name in sorted(map(str, data.variables)):
        variable = data[name]
        values, head = variable.values, (name, variable.dims, variable.shape, sorted(variable.attrs.items()))
        digest.update(repr(head).encode())
        if values.dtype.kind in "fiub":
            digest.update(np.ascontiguousarray(values, "<f8").data)
        else:
            digest.update(repr(values.tolist()).encode())
    digest.update(repr(sorted((k, v) for k, v in data.attrs.items() if k != "sha256")).encode())
    return digest.hexdigest()
