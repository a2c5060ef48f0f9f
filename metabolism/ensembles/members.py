"""The door: one model, ours or anybody's, and everything that can be asked of many members of it at once."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.dosing import Regimen, Schedule
from metabolism.ensembles.reading import member_sbml, read_model
from metabolism.errors import InvalidValue
from metabolism.model import equations
from metabolism.sbml import MEGABYTES, SECONDS, FileModel, KineticModel
from metabolism.sensitivity import Factors, Indices, sobol
from metabolism.sensitivity import vary as in_words
from metabolism.simulation import Result, agreement, endpoints_of, sensitivities, simulate, steady_states
from metabolism.sweep import Sweep, scan
from metabolism.types import in_brief

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    Columns = Mapping[str, ArrayLike] | pd.DataFrame

Doses = Schedule | Regimen | str | Sequence[tuple[float, str, float]] | None


def ensemble(
    source: str | Path | KineticModel,
    *,
    asked: Mapping[str, Sequence[str]] | None = None,
    seconds: int = SECONDS,
    megabytes: int = MEGABYTES,
) -> Ensemble:
    """Open a model for ensembles: an SBML or Antimony file, its text, or our own model.

    Parameters
    ----------
    source : str, Path or KineticModel
        Path, text, or a model such as ``mb.load().with_set("als_patient")``.
    asked : mapping, optional
        Names of ``parameters``, ``outputs`` and ``endpoints`` that a file must have, looked up before it is compiled.
    seconds, megabytes : int
        Limits of the process that reads and compiles a file: CPU time and memory.

    Raises
    ------
    ModelError
        If the file is broken or holds something that is not covered; nothing has run then.

    Examples
    --------
    >>> ens = ensemble("model decay; S = 10; k = 0.5; J: S -> ; k*S; end")
    >>> ens.states, ens.values["k"]
    (('S',), 0.5)
    >>> result = ens.simulate({"k": [0.5, 1.0]}, until=2, times=[0, 2])
    >>> (result["S"].values[:, -1] / 10).round(4).tolist()
    [0.3679, 0.1353]
    """
    if isinstance(source, KineticModel):
        return Ensemble(source)
    return Ensemble(read_model(source, asked=asked, seconds=seconds, megabytes=megabytes))


@dataclass(frozen=True)
class Ensemble:
    """One model, and what can be asked of many members of it.

    A *member* is the model with some values of its own: a row of a table whose columns are ids. Time and units are
    those of the model, and every result says them.

    Attributes
    ----------
    model : KineticModel
        What every verb of `metabolism.simulation`, `metabolism.sweep` and `metabolism.sensitivity` takes, too.
    """

    model: KineticModel

    def __repr__(self) -> str:
        return in_brief(self, self.model.id, f"{len(self.states)} states, {len(self.parameters)} parameters")

    @property
    def states(self) -> tuple[str, ...]:
        """Ids of what changes."""
        clock = equations(self.model).time
        return tuple(s for s in equations(self.model).states if s != clock)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Ids of constants, compartment sizes included."""
        return equations(self.model).parameters

    @property
    def outputs(self) -> tuple[str, ...]:
        """Ids of what can be reported: states, rules and reactions."""
        return (*self.states, *equations(self.model).computed)

    @property
    def values(self) -> dict[str, float]:
        """Value of every parameter, and initial value of every state, by id."""
        return self.model.values

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of every quantity by id; empty where the file does not say."""
        return self.model.units

    @property
    def agreement(self) -> str:
        """How far one member agrees with libRoadRunner; empty before the first run of a file, and for our own model."""
        return agreement(self.model) if isinstance(self.model, FileModel) else ""

    def __str__(self) -> str:
        model = self.model
        clock = f"time in {model.time_unit}" if model.time_unit else "the file does not say its unit of time"
        lines = [f"{model.id}: {len(self.states)} states, {len(self.parameters)} parameters; {clock}"]
        for name, ids in (("states", self.states), ("parameters", self.parameters)):
            shown = ", ".join(f"{i} = {self.values[i]:g} {self.units.get(i, '')}".strip() for i in ids)
            lines.append(textwrap.fill(f"{name}: {shown}", 79, subsequent_indent="  "))
        return "\n".join([*lines, *(f"remark: {r}" for r in getattr(model, "remarks", ()))])

    def with_values(self, values: Mapping[str, float] | None = None, **named: float) -> Ensemble:
        """Return the ensemble of a model with some values changed."""
        return replace(self, model=self.model.with_values(values, **named))

    def sbml(self) -> str:
        """Return the file with the changed values in it as SBML: one member for another tool.

        >>> ens = ensemble("S = 10; k = 0.5; J: S -> ; k*S").with_values(k=0.25)
        >>> ensemble(ens.sbml()).values["k"]
        0.25
        """
        return member_sbml(self.model) if isinstance(self.model, FileModel) else self.model.sbml

    def draws(self, vary: Mapping[str, Any], n: int, seed: int = 1) -> pd.DataFrame:
        """Draw members: one row each, independent columns.

        Parameters
        ----------
        vary : mapping
            As `metabolism.sensitivity.vary` takes, e.g. ``{"k1": "lognormal(1, 0.3)"}``.
        n, seed : int
        """
        import pandas as pd

        if n < 1:
            raise InvalidValue(f"n = {n} must be at least 1.")
        factors = in_words(self.model, vary)
        unit = np.random.default_rng(seed).random((n, len(factors)))
        return pd.DataFrame(factors.quantile(unit), columns=list(factors.names))

    def simulate(
        self,
        parameters: Columns | None = None,
        *,
        until: float | str,
        outputs: Sequence[str] | None = None,
        doses: Doses = None,
        **options: Any,
    ) -> Result:
        """Run every member from 0 to `until`.

        Parameters
        ----------
        parameters : mapping or DataFrame, optional
            One row per member: parameters, compartment sizes and initial values by id; one member without it.
        until : float or str
            End of the run [time unit of the model].
        outputs : sequence of str, optional
            Of `outputs`; every state of a model from a file by default.
        doses : str or sequence of (time, species, amount), optional
            E.g. ``"5 S1 at 0 every 12 x 14; k1 = 0 from 10 to 20"`` (`metabolism.dosing.Schedule`); for our own model a
            regimen.
        **options
            ``times``, ``start``, ``engine``, ``rtol``, ``workers``: as in `metabolism.simulation.simulate`.

        Returns
        -------
        Result
            Curves over time with units, failures by member, a ledger of doses and a manifest.
        """
        return simulate(self.model, self._doses(doses), until, patients=parameters, outputs=outputs, **options)

    def endpoints(
        self, parameters: Columns, endpoints: Sequence[str], *, until: float | str, doses: Doses = None, **options: Any
    ) -> pd.DataFrame:
        """Numbers of every member, read while integrating and without stored curves.

        Parameters
        ----------
        parameters, until, doses, **options
            As in `simulate`.
        endpoints : sequence of str
            E.g. ``"final(S1)"``, ``"max(S2)"``, ``"auc(S1)"``, ``"time_above(S2, 0.5)"``.
        """
        wanted = {text: text for text in endpoints}
        return endpoints_of(self.model, wanted, self._doses(doses), until, patients=parameters, **options)

    def steady_states(self, parameters: Columns | None = None, outputs: Sequence[str] | None = None) -> pd.DataFrame:
        """Resting states of every member, searched from its initial values; each is verified.

        Column ``stable`` says whether small changes die away: an oscillator may hold a resting state that none reaches.
        """
        return steady_states(self.model, self._own() if parameters is None else parameters, outputs)

    def sensitivities(
        self, parameters: Sequence[str], *, until: float | str, doses: Doses = None, **options: Any
    ) -> xr.Dataset:
        """Exact derivatives of ``outputs`` over time, or of ``endpoints``, by parameters.

        Options as in `metabolism.simulation.sensitivities`; ``patients`` is the table of members.
        """
        return sensitivities(self.model, parameters, self._doses(doses), until, **options)

    def scan(self, design: Any, *, until: float | str, doses: Doses = None, **options: Any) -> Sweep:
        """Endpoints over a grid or a table of any size: resumable ``store``, ``workers``, a Dask ``cluster``.

        Arguments as in `metabolism.sweep.scan`.
        """
        return scan(self.model, design, self._doses(doses), until, **options)

    def sobol(
        self, vary: Mapping[str, Any] | Factors, *, until: float | str, doses: Doses = None, **options: Any
    ) -> Indices:
        """Shares of the variance of endpoints by factor; arguments as in `metabolism.sensitivity.indices`.

        Other methods take ``ens.model`` in the same way: `metabolism.sensitivity.morris`, ``efast``, ``pawn``, ...
        """
        return sobol(self.model, self._doses(doses), until, factors=vary, **options)

    def _own(self) -> Columns:
        """A table of one member that is the file itself."""
        if not self.parameters:
            raise InvalidValue(
                "the file has no parameter, so no members; steady_state(ens.model) finds its resting state."
            )
        return {self.parameters[0]: [self.values[self.parameters[0]]]}

    def _doses(self, doses: Doses) -> Any:
        if isinstance(doses, Regimen) or not (isinstance(self.model, FileModel) or isinstance(doses, (list, tuple))):
            return doses
        return Schedule.of(doses)
