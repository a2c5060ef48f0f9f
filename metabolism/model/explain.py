"""What one id of the model is: equation, value, unit, source. Behind `metabolism show`."""

from __future__ import annotations

from metabolism.errors import UnknownName
from metabolism.model.annotations import read_annotations
from metabolism.model.model import Model, equations
from metabolism.model.sources import citation
from metabolism.sbml import Formula, read_formulas
from metabolism.units import label


def describe(model: Model, name: str) -> str:
    """Return a description of any reaction, species, derived quantity or parameter as plain text.

    Raises
    ------
    UnknownName
        If nothing has that id.

    Examples
    --------
    >>> from metabolism.model import load
    >>> print(describe(load(), "MN_gamma").splitlines()[0].split(" = ")[0])
    MN_gamma
    """
    system = equations(model)
    formulas = read_formulas(model.sbml)
    if name in system.states:
        return _state(model, name, formulas)
    if name in formulas:
        formula = formulas[name]
        return _reaction(model, name, formula) if formula.stoichiometry else _rule(model, name, formula)
    if name in model.table:
        return "\n".join(_row(model, name, indent=""))
    known = [*formulas, *system.states, *model.table]
    remedy = "Search with `metabolism list parameters WORD` or `metabolism list outputs WORD`."
    raise UnknownName("reaction, species or parameter", name, known, remedy)


def _unit(unit: str) -> str:
    return label(unit) or "dimensionless"


def _row(model: Model, name: str, indent: str = "  ") -> list[str]:
    row = model.table[name]
    value = model.values.get(name, row.value)
    lines = [f"{indent}{name} = {value:.6g} {_unit(row.unit)}  {row.name}"]
    if name in model.changed:
        lines.append(f"{indent}  changed from {row.value:.6g}")
    if row.keys:
        lines += [f"{indent}  source: {citation(k)}" for k in row.keys]
        if row.locator:
            lines.append(f"{indent}  where: {row.locator}")
    else:
        lines.append(f"{indent}  source: {row.source}" + (f" ({row.locator})" if row.locator else ""))
    if row.derivation:
        lines.append(f"{indent}  derivation: {row.derivation}")
    grade = row.confidence or "none"
    lines.append(f"{indent}  kind {row.kind}, confidence {grade}, bounds {row.lower:.4g} to {row.upper:.4g}")
    if row.note:
        lines.append(f"{indent}  note: {row.note}")
    return lines


def _side(terms: dict[str, float]) -> str:
    return " + ".join(s if c == 1 else f"{c:g} {s}" for s, c in terms.items()) or "(nothing)"


def _reaction(model: Model, name: str, formula: Formula) -> str:
    gone = {s: -c for s, c in formula.stoichiometry.items() if c < 0}
    made = {s: c for s, c in formula.stoichiometry.items() if c > 0}
    note = read_annotations().get(name, {})
    lines = [
        f"{name}  reaction{': ' + note['name'] if note.get('name') else ''}",
        f"  {_side(gone)} -> {_side(made)}",
        f"  rate [{_unit('umol_per_h')}] = {formula.text}",
    ]
    if note.get("identifiers"):
        lines.append(f"  identifiers: {note['identifiers']}")
    return "\n".join([*lines, "", *_parameters(model, formula)])


def _state(model: Model, name: str, formulas: dict[str, Formula]) -> str:
    place = equations(model).volume.get(name)
    kind = f"concentration in {place}" if place else ("fraction" if name in formulas else "amount")
    lines = _row(model, name, indent="")
    lines[0] = f"{lines[0]}  ({kind})"
    if name in formulas:
        return "\n".join([*lines, f"  d{name}/dt = {formulas[name].text}", "", *_parameters(model, formulas[name])])
    for key, formula in formulas.items():
        if coefficient := formula.stoichiometry.get(name, 0):
            lines.append(f"  {'made by' if coefficient > 0 else 'used by'} {key}")
    note = read_annotations().get(name, {})
    if note.get("identifiers"):
        lines.append(f"  identifiers: {note['identifiers']}")
    return "\n".join(lines)


def _rule(model: Model, name: str, formula: Formula) -> str:
    head = f"{name}  derived quantity [{_unit(equations(model).units[name])}]"
    return "\n".join([head, f"  {name} = {formula.text}", "", *_parameters(model, formula)])


def _parameters(model: Model, formula: Formula) -> list[str]:
    return [line for n in formula.names if n in model.table for line in _row(model, n)]
