"""Broken SBML by the thousand: files of the SBML Test Suite, mutated, must neither end nor hold up the caller.

    SBML_TEST_SUITE=path/to/sbml-test-suite python benchmarks/campaigns.py files

Every file goes through what the door does - checks, reading, start values, compiling, a short run - in a process with
limits. Right is any of: runs, refused with a sentence, failed with a sentence. An exception that is none of ours is
counted apart: the sandbox would turn it into a sentence, but it names nothing. So is a file that ends the process that
reads it (libSBML gives up on some): the caller, here this program itself, gets a sentence.
"""

from __future__ import annotations

import contextlib
import random
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from conformance import Worker

#: What numbers become.
_NUMBERS = ("0", "-1", "1e308", "-1e-308", "NaN", "INF", "1e400", "99999999999999999999", "", "x")

#: What operators become.
_OPERATORS = ("divide", "power", "lt", "piecewise", "floor", "root", "log", "times", "factorial", "and")


def mutated(text: str, draw: random.Random) -> str:
    """One or two changes: of bytes, numbers, names, elements."""
    for _ in range(draw.randint(1, 2)):
        kind = draw.randrange(7)
        if kind == 0 and text:
            place = draw.randrange(len(text))
            text = text[:place] + chr(draw.choice((0, 38, 60, 62, 233, draw.randrange(32, 127)))) + text[place + 1 :]
        elif kind == 1:
            begin = draw.randrange(len(text) + 1)
            text = text[:begin] + text[begin + draw.randrange(80) :]
        elif kind == 2:
            text = _swap(text, r'(?<=")-?\d[\d.eE+-]*(?=")', lambda _: draw.choice(_NUMBERS), draw)
        elif kind == 3:
            names = re.findall(r'(?<= id=")\w+(?=")', text) or ["x"]
            text = _swap(text, r"(?<=<ci>)\s*\w+\s*(?=</ci>)", lambda _, names=names: draw.choice(names), draw)
        elif kind == 4:
            text = _swap(
                text, r"<(plus|minus|times|divide|power|lt|gt|geq)/>", lambda _: f"<{draw.choice(_OPERATORS)}/>", draw
            )
        elif kind == 5:
            text = _swap(
                text,
                r"<(species|parameter|compartment|reaction|event) .*?(/>|</\1>)",
                lambda m: draw.choice(("", 2 * m[0])),
                draw,
            )
        else:
            text = _swap(text, r'(?<=")(true|false)(?=")', lambda m: "false" if m[0] == "true" else "true", draw)
    return text


def _swap(text: str, pattern: str, change: Any, draw: random.Random) -> str:
    found = list(re.finditer(pattern, text, re.DOTALL))
    if not found:
        return text
    match = draw.choice(found)
    return text[: match.start()] + change(match) + text[match.end() :]


def attempt(path: str) -> dict[str, Any]:
    """What the door does with a file, and a short run."""
    from metabolism.engines.foreign import run_one
    from metabolism.sbml import checked_text, general_equations, read_document, start_values

    equations = general_equations(read_document(checked_text(path)))
    parameters, initial = start_values(equations)
    times = np.linspace(0.0, 1.0, 3)
    run_one(equations, parameters, initial, times, 1.0, equations.states, 1e-4, np.ones(len(equations.states)))
    return {"kind": "runs"}


def tried(suite: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return what became of `count` broken files, and a line for each that ended or held up its process."""
    import llvmlite.binding  # noqa: F401
    import scipy.special  # noqa: F401

    import metabolism.engines.ensemble.compile as compiler
    import metabolism.engines.ensemble.engine
    import metabolism.engines.foreign  # noqa: F401
    from metabolism import ensemble
    from metabolism.errors import MetabolismError

    compiler.LEVELS = (0, 0)
    files = sorted((suite / "cases" / "semantic").glob("*/*-sbml-l[23]v?.xml"))
    draw, worker, total, remarks = random.Random(seed), Worker(), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        for n in range(count):
            source = draw.choice(files)
            path.write_text(mutated(source.read_text(errors="replace"), draw), encoding="utf-8", errors="replace")
            answer = worker.ask(attempt, str(path))
            kind = answer["kind"]
            if kind == "crash" and not answer["error"].startswith("ended by signal"):
                kind = "raw exception"
            elif kind == "crash":
                # the door reads in a process of its own, which a library may end without harm
                with contextlib.suppress(MetabolismError):
                    ensemble(str(path))
                kind = "ended"
            total[kind] += 1
            if kind in ("ended", "hang", "raw exception"):
                remarks.append(f"{seed}/{n} {source.name}: {kind}: {answer['error']}")
    worker.end()
    return total, remarks
