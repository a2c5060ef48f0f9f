"""Closures of the reference state: capacities back-calculated so that the reference rests exactly.

A derivation in the parameter table reads ``= expression`` or ``flux(REACTION) = expression``. Names in the
expression are parameters, initial values, or reactions (their flux at the reference state [µmol/h]). The
second form solves for the row's own parameter, in which the rate law must be linear.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from metabolism.data import models_dir
from metabolism.errors import ModelError
from metabolism.model.build import built_sbml
from metabolism.model.parameters import COLUMNS, ParameterTable, parameter_table, write_rows
from metabolism.sbml import Equations, read_equations
from metabolism.tables import read_table

_FLUX = re.compile(r"^flux\((\w+)\)\s*=\s*(.+)$")


class Closure:
    """The derivations of a parameter table, compiled once; ModelError for one that cannot be read or solved.

    Attributes
    ----------
    formulas : dict of str to sympy expression
        Each derived row over other rows; the names of states are their initial values.
    """

    def __init__(self, table: ParameterTable) -> None:
        equations = read_equations(built_sbml(table))
        self.nominal = {p.id: p.value for p in table.values()}
        derived = [p for p in table.values() if p.derivation]
        self.formulas = {p.id: _formula(p.id, p.derivation, equations, table) for p in derived}
        self.steps = [(key, _compiled(formula)) for key, formula in self.formulas.items()]

    @property
    def names(self) -> list[str]:
        """Ids of the derived rows."""
        return [key for key, _ in self.steps]

    def values(
        self, changed: Mapping[str, float] | None = None, tolerance: float = 3e-15, passes: int = 60
    ) -> dict[str, float]:
        """Evaluate every derivation until nothing changes: the value of each derived row [its unit].

        `changed` values stand in place of the table's [table units], reference quantities included; a row among them
        keeps the value given. ModelError if one has no value, or they do not settle.
        """
        values = {**self.nominal, **(changed or {})}
        steps = [(key, step) for key, step in self.steps if key not in (changed or {})]
        for _ in range(passes):
            change = 0.0
            for key, step in steps:
                try:
                    target = step(values)
                except (TypeError, ValueError, ArithmeticError) as error:
                    # the root of a negative number is complex, and no number for a float
                    large = isinstance(error, OverflowError)
                    why = "a number too large" if large else "a division by 0 or a root of a number below 0"
                    raise ModelError(f"'{key}' has no value: {why}.") from None
                change = max(change, abs(target - values[key]) / max(abs(target), 1e-300))
                values[key] = target
            if change < tolerance:
                return {key: values[key] for key, _ in steps}
        raise ModelError(f"the derivations of parameters.csv do not settle (last relative change {change:.1e}).")


@lru_cache(maxsize=2)
def closure(table: ParameterTable) -> Closure:
    """Return the compiled derivations of a table.

    >>> closed = closure(parameter_table())
    >>> closed.values()[closed.names[0]] == closed.values({"MN_gamma": 3.0})[closed.names[0]]
    True
    """
    return Closure(table)


def _formula(key: str, text: str, equations: Equations, table: ParameterTable) -> Any:
    """Read one derivation as an expression of other rows."""
    import sympy as sp

    match = _FLUX.match(text)
    body = match.group(2) if match else text.removeprefix("=")
    symbols = {name: sp.Symbol(name) for name in {*table, *equations.reactions}}
    try:
        formula = sp.sympify(body, locals=symbols)
    except (sp.SympifyError, SyntaxError, TypeError) as error:
        raise ModelError(f"derivation of '{key}' cannot be read: {body} ({error}).") from None
    unknown = {s.name for s in formula.free_symbols} - symbols.keys()
    if unknown:
        raise ModelError(f"derivation of '{key}' names unknown {', '.join(sorted(unknown))}.")
    formula = formula.xreplace({sp.Symbol(r): equations.expanded[r] for r in equations.reactions})
    if match:
        if match.group(1) not in equations.reactions:
            raise ModelError(f"derivation of '{key}' names no reaction '{match.group(1)}'.")
        law, own = equations.expanded[match.group(1)], sp.Symbol(key)
        slope = sp.diff(law, own)
        if slope == 0 or own in slope.free_symbols:
            raise ModelError(f"derivation of '{key}': the rate of {match.group(1)} is not linear in it.")
        formula = (formula - law.xreplace({own: sp.Integer(0)})) / slope
    return formula


def _compiled(formula: Any) -> Callable[[dict[str, float]], float]:
    """Compile an expression to a function of all current values."""
    import sympy as sp

    names = sorted(s.name for s in formula.free_symbols)
    function = sp.lambdify([sp.Symbol(n) for n in names], formula, modules="math")
    return lambda values: float(function(*(values[n] for n in names)))


def stale_rows(table: ParameterTable, rtol: float = 1e-12) -> list[str]:
    """Return a line for every derived row whose stored value is not what its formula gives."""
    fresh = Closure(table).values()
    return [
        f"{key}: stored {table[key].value!r}, formula gives {value!r}"
        for key, value in fresh.items()
        if abs(value - table[key].value) > rtol * max(abs(value), 1e-300)
    ]


def rewrite_table() -> int:
    """Write freshly derived values into ``models/parameters.csv``; return how many rows changed."""
    fresh, stored = Closure(parameter_table()).values(), parameter_table()
    moved = {k for k, v in fresh.items() if abs(v - stored[k].value) > 1e-13 * abs(v)}
    rows = read_table(models_dir() / "parameters.csv", COLUMNS)
    for row in rows:
        if row["parameterId"] in moved:
            row["nominalValue"] = repr(fresh[row["parameterId"]])
    write_rows(rows)
    return len(moved)
