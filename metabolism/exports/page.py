"""The model as a page people can read: equations as MathML, every parameter with its source, limits and references."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from metabolism.files import render
from metabolism.model import Model, citations, equations, model_settings, read_annotations
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
    return render(
        "metabolism.exports",
        "model_report.html",
        settings=model_settings(),
        hash=model.structure_hash,
        changed=dict(model.changed),
        counts=f"{len(system.states)} states, {len(system.reactions)} reactions, {len(system.parameters)} constants",
        tally=", ".join(f"{grade}: {count}" for grade, count in sorted(grades.items())) + ".",
        states=[
            {
                "id": s,
                "name": names.get(s, s),
                "place": system.volume.get(s, "whole body (amount)" if s not in system.rate_rules else "–"),
                "value": rest[s],
                "unit": label(system.units[s]) or "1",
                "change": _change(system, s),
            }
            for s in system.states
        ],
        reactions=[
            {
                "id": r.id,
                "name": names.get(r.id, r.id),
                "equation": f"{_side(r.stoichiometry, -1)} → {_side(r.stoichiometry, 1)}",
                "rate": _math(r.rate),
                "flux": rest[r.id],
                "identifiers": notes.get(r.id, {}).get("identifiers", "").replace(";", "; "),
            }
            for r in system.reactions.values()
        ],
        rules=[
            {
                "id": k,
                "name": names.get(k, k),
                "formula": _math(e),
                "value": rest[k],
                "unit": label(system.units[k]) or "1",
            }
            for k, e in system.rules.items()
        ],
        parameters=[
            {
                "id": p.id,
                "name": p.name,
                "value": values.get(p.id, p.value),
                "unit": label(p.unit) or "1",
                "kind": p.kind,
                "source": p.source.replace(";", "; "),
                "locator": p.locator,
                "confidence": p.confidence,
                "derivation": p.derivation,
                "note": p.note,
            }
            for p in rows
        ],
        references=citations(k for p in rows for k in p.keys),
    )


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
