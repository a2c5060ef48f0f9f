"""The model as a page people can read: equations as MathML, every parameter with its source, limits and references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from metabolism.files import render
from metabolism.model import Model, Parameter, citations, equations, model_settings, read_annotations
from metabolism.sbml import Reaction
from metabolism.simulation import steady_state
from metabolism.units import label


def model_report(model: Model) -> str:
    """Return one self-contained HTML page: equations, resting values, parameter table with provenance.

    Raises
    ------
    SolverFailed
        If the model has no resting state to print.
    """
    system, rest, notes = equations(model), steady_state(model).values, read_annotations()
    values = model.values
    names = {p.id: p.name for p in model.table.values()} | {k: r["name"] for k, r in notes.items() if r["name"]}
    rows = [p for p in model.table.values() if p.kind not in ("population",)]
    grades = Counter(p.confidence or "none" for p in rows)

    def unit(name: str) -> str:
        return label(name) or "1"

    def state(s: str) -> tuple[Any, ...]:
        place = system.volume.get(s, "whole body (amount)" if s not in system.rate_rules else "–")
        return s, names.get(s, s), place, rest[s], unit(system.units[s]), _change(system, s)

    def reaction(r: Reaction) -> tuple[Any, ...]:
        known = notes.get(r.id, {}).get("identifiers", "").replace(";", "; ")
        equation = f"{_side(r.stoichiometry, -1)} → {_side(r.stoichiometry, 1)}"
        return r.id, names.get(r.id, r.id), equation, _math(r.rate), rest[r.id], known

    def parameter(p: Parameter) -> tuple[Any, ...]:
        number = p.id, p.name, values.get(p.id, p.value), unit(p.unit), p.kind
        return *number, p.source.replace(";", "; "), p.locator, p.confidence, p.derivation, p.note

    rules = ((k, names.get(k, k), _math(e), rest[k], unit(system.units[k])) for k, e in system.rules.items())
    heads = "id name value unit kind source locator confidence derivation note"
    return render(
        "metabolism.exports",
        "model_report.html",
        settings=model_settings(),
        hash=model.structure_hash,
        changed=dict(model.changed),
        counts=f"{len(system.states)} states, {len(system.reactions)} reactions, {len(system.parameters)} constants",
        tally=", ".join(f"{grade}: {count}" for grade, count in sorted(grades.items())) + ".",
        states=_table("id name place value unit change", map(state, system.states)),
        reactions=_table("id name equation rate flux identifiers", map(reaction, system.reactions.values())),
        rules=_table("id name formula value unit", rules),
        parameters=_table(heads, map(parameter, rows)),
        references=citations(k for p in rows for k in p.keys),
    )


def _table(heads: str, rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(heads.split(), row, strict=True)) for row in rows]


def _side(terms: Any, sign: int) -> str:
    parts = [s if abs(c) == 1 else f"{abs(c):g} {s}" for s, c in terms.items() if c * sign > 0]
    return " + ".join(parts) or "∅"


def _change(system: Any, state: str) -> str:
    if state in system.rate_rules:
        return _math(system.rate_rules[state])
    terms = [
        f"{'−' if c < 0 else '+'} {'' if abs(c) == 1 else f'{abs(c):g} '}<code>{r.id}</code>"
        for r in system.reactions.values()
        if (c := r.stoichiometry.get(state, 0))
    ]
    text = " ".join(terms).removeprefix("+ ")
    return f"({text}) / <code>{system.volume[state]}</code>" if state in system.volume else text


@cache
def _printer() -> Any:
    from sympy.printing.mathml import MathMLPresentationPrinter

    class Printer(MathMLPresentationPrinter):  # type: ignore[misc]
        def _print_Symbol(self, symbol: Any, style: str = "plain") -> Any:
            # ids are printed whole: sympy would make subscripts of their underscores
            element = self.dom.createElement("mi")
            element.appendChild(self.dom.createTextNode(symbol.name))
            return element

    # ids of several letters run together without a visible sign
    return Printer({"mul_symbol": "dot"})


def _math(expression: Any) -> str:
    printer = _printer()
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{printer._print(expression).toxml()}</math>'
