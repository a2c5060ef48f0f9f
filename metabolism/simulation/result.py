"""Labelled results: xarray data with units, the dose ledger and a manifest, saved without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.errors import InvalidValue, OutputError, UnknownName
from metabolism.files import write_atomically
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


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
    curves : mapping of str to ndarray, optional
        The outputs and ``time`` [h] as plain arrays.

    Attributes
    ----------
    data : xarray.Dataset
        One variable per output with dimensions (time,) or (patient, time) and ``attrs["units"]``; the values just
        before each dose or change as ``<output>_pre_dose`` over ``dose_time``; the ledger as ``asked`` and
        ``delivered`` over ``target`` [µmol] (absent without doses); ``failed`` and ``failure_time`` [h] per patient.
    """

    def __init__(self, data: xr.Dataset | Callable[[], xr.Dataset], curves: Mapping[str, Array] | None = None) -> None:
        self._data, self._curves = data, curves

    @cached_property
    def data(self) -> xr.Dataset:
        return self._data() if callable(self._data) else self._data

    @cached_property
    def curves(self) -> Mapping[str, Array]:
        """Times [h] under ``time``, and each output under its id, as plain arrays."""
        if self._curves is not None:
            return self._curves
        return {name: self.data[name].values for name in ("time", *self.outputs)}

    def __reduce__(self) -> tuple[Any, ...]:
        return Result, (self.data,)

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self.data.data_vars:
            raise UnknownName("output", name, self.outputs, "Ask for it with simulate(outputs=[...]).")
        return self.data[name]

    @property
    def outputs(self) -> list[str]:
        """Ids of the outputs over time."""
        names = [str(n) for n in self.data.data_vars]
        return [n for n in names if n not in _BOOKKEEPING and not n.endswith("_pre_dose")]

    @property
    def manifest(self) -> dict[str, Any]:
        """Model and parameter hashes, sets, regimen, engine, tolerances, versions and seed."""
        found: dict[str, Any] = json.loads(self.data.attrs["manifest"])
        return found

    @property
    def ledger(self) -> pd.DataFrame:
        """Amount asked and delivered per dose target [µmol], summed over patients; empty without doses."""
        import pandas as pd

        if "asked" not in self.data:
            return pd.DataFrame(columns=["asked", "delivered"], dtype=float)
        table = self.data[["asked", "delivered"]]
        if "patient" in table.dims:
            table = table.sum("patient")
        frame: pd.DataFrame = table.to_dataframe()
        return frame

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
        found = curve.quantile([tail, 0.5, 1 - tail], dim="patient", skipna=True)
        parts = [found.isel(quantile=i, drop=True).assign_attrs(curve.attrs) for i in range(3)]
        return xr.Dataset(dict(zip(("low", "median", "high"), parts, strict=True)))

    def bands(self, level: float = 0.9) -> pd.DataFrame:
        """Return `band` of every output as a table with columns ``<output> low``, ``median`` and ``high``."""
        import pandas as pd

        columns: dict[str, Any] = {"time": self.data["time"].values}
        for name in self.outputs:
            found = self.band(name, level)
            columns |= {f"{name} {part}": found[part].values for part in ("low", "median", "high")}
        return pd.DataFrame(columns)

    def frame(self) -> pd.DataFrame:
        """Return the outputs as a tidy table, one row per time (and patient)."""
        table: pd.DataFrame = self.data[self.outputs].to_dataframe().reset_index()
        return table

    def save(self, path: str | Path) -> Path:
        """Write netCDF; the file appears complete or not at all.

        Above 2 GiB, which netCDF 3 cannot hold, it is netCDF 4.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        classic = self.data.nbytes < CLASSIC
        return write_atomically(path, lambda part: self.data.to_netcdf(part, engine="scipy" if classic else "h5netcdf"))

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read a saved result.

        Raises
        ------
        OutputError
            If the file is missing or was not written by `save`.
        """
        import xarray as xr

        try:
            with open(path, "rb") as file:
                classic = file.read(3) == b"CDF"
            with xr.open_dataset(path, engine="scipy" if classic else "h5netcdf") as saved:
                data = saved.load()
        except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
            raise OutputError(f"'{path}' cannot be read as a saved result ({error}).") from None
        if "manifest" not in data.attrs:
            raise OutputError(f"'{path}' has no manifest; it was not written by Result.save().")
        return cls(data)
