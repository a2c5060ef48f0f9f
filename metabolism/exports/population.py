"""The model for population tools: mrgsolve and rxode2 files by one generator, and doses as a NONMEM-shaped data set.

Compartments hold amounts [µmol], as is the habit of these tools: AMT and RATE of a row then mean the same in each of
them (a bioavailability of one over the volume would shorten infusions). A concentration is its compartment, ``A_name``,
over its volume. Parameters changed for a while follow the time inside the equations; the data set has a row with EVID 2
at each change, where the solver starts afresh.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from metabolism.dosing import Regimen
from metabolism.errors import UsageError
from metabolism.exports.sbml import described, scenario
from metabolism.model import Model, citations, equations, model_settings, titles
from metabolism.sbml import Equations
from metabolism.simulation import DEFAULT_OUTPUTS

if TYPE_CHECKING:
    import pandas as pd

#: Relative and absolute tolerances written into the files; a step of output [h].
_RTOL, _ATOL, _DELTA = 1e-8, 1e-12, 2


@dataclass(frozen=True)
class Program:
    """A model as assignments in an order that can be run, whatever the language.

    Attributes
    ----------
    about : list of str
        What the file is.
    constants, initial : dict of str to (value, words)
        Parameters, and amounts at time 0 by compartment.
    assigned, rates : dict of str to expression
        Concentrations, rules and reaction rates; time derivatives by compartment.
    changes : dict of str to list of (time [h], value)
        Parameters that change, in order of time.
    doses : DataFrame
        Rows of the NONMEM-shaped data set.
    references : list of str
    end : float
        [h]
    """

    about: list[str]
    constants: dict[str, tuple[float, str]]
    initial: dict[str, tuple[float, str]]
    assigned: dict[str, Any]
    rates: dict[str, Any]
    changes: dict[str, list[tuple[float, float]]]
    doses: pd.DataFrame
    references: list[str]
    end: float

    def needed(self, names: Iterable[str]) -> list[str]:
        """Return the assigned names that these depend on, themselves included, in order."""
        wanted, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name in self.assigned and name not in wanted:
                wanted.add(name)
                waiting += [s.name for s in self.assigned[name].free_symbols]
        return [name for name in self.assigned if name in wanted]

    def switched(self, time: str) -> dict[str, str]:
        """Return the formula of each parameter that changes; `time` is what the language calls the time."""
        formulas = {}
        for name, steps in self.changes.items():
            terms = [f"{name}*({time} < {steps[0][0]!r})"]
            for (begin, value), (end, _) in zip(steps, [*steps[1:], (0.0, 0.0)], strict=True):
                stop = f"*({time} < {end!r})" if end else ""
                terms.append(f"{value!r}*({time} >= {begin!r}){stop}")
            formulas[f"{name}_now"] = " + ".join(terms)
        return formulas


def program(model: Model, regimen: Regimen | str | None, until: float | str, start: str) -> Program:
    """Return model, patient and doses as a program.

    Parameters
    ----------
    regimen : Regimen or str, optional
    until : float or str
        End of the run [h or text].
    start : {"rest", "initial"}

    Raises
    ------
    InvalidRegimen, UnitMismatch, SolverFailed
    """
    import sympy as sp

    schedule, end, steps, values = scenario(model, regimen, until, start)
    system, names = equations(model), titles(model.table)
    places = {s: f"A_{s}" if s in system.volume else s for s in system.states}
    changes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for time, key, factor, offset in steps.settings:
        # infusions are rows of the data set
        if time >= 0 and key not in steps.infused:
            changes[key].append((time, factor * model.values[key] + float(offset)))
    now = {sp.Symbol(key): sp.Symbol(f"{key}_now") for key in changes}
    assigned = {s: sp.Symbol(places[s]) / sp.Symbol(v) for s, v in system.volume.items()}
    formulas = system.rules | {r.id: r.rate for r in system.reactions.values()}
    before = {key: sorted(s.name for s in e.free_symbols if s.name in formulas) for key, e in formulas.items()}
    assigned |= {key: formulas[key].xreplace(now) for key in TopologicalSorter(before).static_order()}
    rates = {place: sp.Integer(0) for place in places.values()}
    for reaction in system.reactions.values():
        for species, coefficient in reaction.stoichiometry.items():
            whole = int(coefficient) if coefficient == int(coefficient) else coefficient
            rates[places[species]] += whole * sp.Symbol(reaction.id)
    rates |= {places[s]: rate.xreplace(now) for s, rate in system.rate_rules.items()}
    used = {s.name for e in (*assigned.values(), *rates.values()) for s in e.free_symbols} | changes.keys()
    table = model.table
    constants = {
        key: (values[key], _words(names.get(key, key), system.units[key], table.get(key)))
        for key in system.parameters
        if key in used
    }
    initial = {
        place: (values[s] * (values[system.volume[s]] if s in system.volume else 1.0), _words(names.get(s, s), unit))
        for s, place in places.items()
        for unit in [system.units[s] if s in system.rate_rules else "umol"]
    }
    settings, given = model_settings(), citations(k for key in constants if key in table for k in table[key].keys)
    about = [settings["title"], settings["limits"], f"Licence: {settings['licence']}"]
    about += [f"{key}: {text}" for key, text in described(model, regimen, until, start).items()]
    doses = _doses(schedule.until(end), changes, list(places.values()), system)
    references = [f"{key}: {' '.join(text.split())}" for key, text in given.items()]
    return Program(about, constants, initial, assigned, rates, dict(changes), doses, references, end)


def _words(name: str, unit: str, row: Any = None) -> str:
    where = "; ".join(w for w in (row.source, row.locator, row.confidence) if w) if row else ""
    return " ".join(f"[{unit}] {name}{' | ' + where if where else ''}".split())


def _doses(schedule: Regimen, changes: Mapping[str, Any], places: list[str], system: Equations) -> pd.DataFrame:
    import pandas as pd

    columns = ["ID", "TIME", "AMT", "RATE", "II", "ADDL", "EVID", "CMT"]
    rows = Regimen(schedule.doses).to_events("umol")[columns]
    number = {place.removeprefix("A_") if place not in system.states else place: i for i, place in enumerate(places, 1)}
    rows = rows.assign(CMT=rows["CMT"].map(number))
    other = [(1, time, 0.0, 0.0, 0.0, 0, 2, 1) for time in sorted({t for steps in changes.values() for t, _ in steps})]
    frames = [frame for frame in (pd.DataFrame(other, columns=columns), rows) if len(frame)]
    return pd.concat(frames or [rows]).sort_values("TIME", kind="stable", ignore_index=True)


def nonmem_text(model: Model, regimen: Regimen | str | None, until: float | str, start: str) -> str:
    """Return the doses as a data set: ID, TIME [h], AMT [µmol], RATE [µmol/h], II, ADDL, EVID, CMT.

    Raises
    ------
    UsageError
        Without a regimen.
    """
    doses = program(model, regimen, until, start).doses
    if doses.empty:
        raise UsageError("a data set of doses needs a regimen, e.g. --regimen '50 mg im every 3.5 d x 32'.")
    text: str = doses.to_csv(index=False, lineterminator="\n")
    return text


def _frame(doses: pd.DataFrame) -> str:
    columns = (f"  {name} = c({', '.join(map(repr, column.tolist()))})" for name, column in doses.items())
    return "data.frame(\n" + ",\n".join(columns) + "\n)"


def mrgsolve_text(model: Model, regimen: Regimen | str | None, until: float | str, start: str) -> str:
    """Return a model file of mrgsolve; its doses are ``env_get(mod)$doses``.

    The variables of ``$ODE`` are those of the solver's last trial, so what is captured is computed again in ``$TABLE``.
    """
    from sympy.printing.c import C99CodePrinter

    made, spell = program(model, regimen, until, start), C99CodePrinter({"precision": 17}).doprint
    shown = [name for name in DEFAULT_OUTPUTS if name in made.assigned]
    lines = ["$PROB", *(f"# {line}" for line in made.about), "# Time h, amounts umol, concentrations uM.", "", "$PARAM"]
    lines += [f"{key} = {value!r} // {words}" for key, (value, words) in made.constants.items()]
    lines += ["", "$INIT"]
    numbered = enumerate(made.initial.items(), start=1)
    lines += [f"{place} = {value!r} // CMT {i} {words}" for i, (place, (value, words)) in numbered]
    lines += ["", "$ODE"]
    lines += [f"double {key} = {formula};" for key, formula in made.switched("SOLVERTIME").items()]
    lines += [f"double {key} = {spell(formula)};" for key, formula in made.assigned.items()]
    lines += [f"dxdt_{place} = {spell(rate)};" for place, rate in made.rates.items()]
    lines += ["", "$TABLE"]
    lines += [f"{key} = {formula};" for key, formula in made.switched("TIME").items()]
    lines += [f"{key} = {spell(made.assigned[key])};" for key in made.needed(shown)]
    lines += ["", f"$CAPTURE {' '.join(shown)}", ""]
    lines += [f"$SET end = {made.end!r}, delta = {_DELTA}, rtol = {_RTOL!r}, atol = {_ATOL!r}, maxsteps = 100000"]
    lines += ["", "$ENV", f"doses <- {_frame(made.doses)}", *(f"# {line}" for line in made.references)]
    return "\n".join(lines) + "\n"


def rxode2_text(model: Model, regimen: Regimen | str | None, until: float | str, start: str) -> str:
    """Return a model function of rxode2 in the form of nlmixr2lib, and its doses as a data frame."""
    from sympy.printing.rcode import RCodePrinter

    made, spell = program(model, regimen, until, start), RCodePrinter({"precision": 17}).doprint
    lines = [*(f"# {line}" for line in made.about), f"{model.id} <- function() {{"]
    lines += [f"  description <- {_quoted(made.about[0])}", f"  reference <- {_quoted('; '.join(made.about[-3:]))}"]
    lines += ['  units <- list(time = "h", dosing = "umol", concentration = "umol/L")', "  ini({"]
    for key, (value, words) in made.constants.items():
        lines += [f"    {key} <- fixed({value!r}); label({_quoted(words)})"]
    lines += ["  })", "  model({"]
    lines += [f"    {key} = {formula}" for key, formula in made.switched("t").items()]
    lines += [f"    {key} = {spell(formula)}" for key, formula in made.assigned.items()]
    lines += [f"    d/dt({place}) = {spell(rate)}" for place, rate in made.rates.items()]
    numbered = enumerate(made.initial.items(), start=1)
    lines += [f"    {place}(0) = {value!r} # CMT {i} {words}" for i, (place, (value, words)) in numbered]
    lines += ["  })", "}", f"{model.id}_doses <- {_frame(made.doses)}"]
    return "\n".join([*lines, *(f"# {line}" for line in made.references)]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', "'") + '"'
