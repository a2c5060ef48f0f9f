"""Formulas of SBML as trees: a number, an id, or a list of an operator and its arguments."""

from __future__ import annotations

import math
from typing import Any

from metabolism.errors import ModelError

Tree = Any

#: Avogadro's number as SBML Level 3 defines it [1/mol].
AVOGADRO = 6.02214179e23

#: Operators with the same meaning under another name of libsbml's (after AST_, AST_FUNCTION_, AST_RELATIONAL_, ...).
_OPERATORS = {
    "AST_PLUS": "+",
    "AST_MINUS": "-",
    "AST_TIMES": "*",
    "AST_DIVIDE": "/",
    "AST_POWER": "^",
    "AST_FUNCTION_POWER": "^",
    "AST_RELATIONAL_LT": "<",
    "AST_RELATIONAL_LEQ": "<=",
    "AST_RELATIONAL_GT": ">",
    "AST_RELATIONAL_GEQ": ">=",
    "AST_RELATIONAL_EQ": "==",
    "AST_RELATIONAL_NEQ": "!=",
    **{f"AST_LOGICAL_{name.upper()}": name for name in ("and", "or", "not", "xor", "implies")},
    **{
        f"AST_FUNCTION_{name.upper()}": name
        for name in (
            *("abs", "ceiling", "exp", "factorial", "floor", "ln", "log", "max", "min", "piecewise", "quotient"),
            *("rem", "root", "sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh", "sech", "csch", "coth"),
            *(f"arc{name}" for name in ("sin", "cos", "tan", "sec", "csc", "cot")),
            *(f"arc{name}h" for name in ("sin", "cos", "tan", "sec", "csc", "cot")),
        )
    },
}


class Formulas:
    """Reads the formulas of a document.

    Attributes
    ----------
    timed : bool
        Whether any formula so far holds the time.
    """

    def __init__(self, content: Any) -> None:
        import libsbml

        self.lib, self.timed = libsbml, False
        self.kinds = {getattr(libsbml, key): name for key, name in _OPERATORS.items()}
        self.functions = {f.getId(): f for f in content.getListOfFunctionDefinitions()}

    def tree(self, node: Any, local: dict[str, Tree] | None = None) -> Tree:
        """A formula as a tree; `local` are names with a meaning of their own."""
        lib, kind = self.lib, node.getType()
        if kind == lib.AST_INTEGER:
            return float(node.getInteger())
        if kind in (lib.AST_REAL, lib.AST_REAL_E, lib.AST_RATIONAL):
            return float(node.getReal())
        if kind == lib.AST_NAME:
            name = node.getName()
            return (local or {}).get(name, name)
        if kind == lib.AST_NAME_TIME:
            self.timed = True
            return ["time"]
        constants = {
            lib.AST_NAME_AVOGADRO: AVOGADRO,
            lib.AST_CONSTANT_E: math.e,
            lib.AST_CONSTANT_PI: math.pi,
            lib.AST_CONSTANT_TRUE: 1.0,
            lib.AST_CONSTANT_FALSE: 0.0,
        }
        if kind in constants:
            return constants[kind]
        if kind == lib.AST_FUNCTION_DELAY:
            raise ModelError("a formula holds a delayed value (csymbol 'delay'), which is not covered.")
        children = [self.tree(node.getChild(i), local) for i in range(node.getNumChildren())]
        if kind == lib.AST_FUNCTION:
            return self._called(node.getName(), children)
        if kind == lib.AST_FUNCTION_RATE_OF:
            return ["rateOf", *children]
        if kind in self.kinds:
            return [self.kinds[kind], *children]
        raise ModelError(f"a formula holds '{node.getName() or kind}', which is not covered.")

    def _called(self, name: str, arguments: list[Tree]) -> Tree:
        function = self.functions.get(name)
        if function is None or (body := function.getBody()) is None:
            raise ModelError(f"a formula calls '{name}', which is no function of this file.")
        if function.getNumArguments() != len(arguments):
            raise ModelError(f"'{name}' takes {function.getNumArguments()} arguments and is given {len(arguments)}.")
        names = [function.getArgument(i).getName() for i in range(function.getNumArguments())]
        return self.tree(body, dict(zip(names, arguments, strict=True)))
