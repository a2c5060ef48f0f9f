"""Models from files before they run: compared with libRoadRunner once, and how large their states become."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

from metabolism.errors import UsageError
from metabolism.model import equations
from metabolism.sbml import FileModel

_log = logging.getLogger("metabolism")

#: Longest span over which each file was compared in this process, and what came out, by digest of its text.
_COMPARED: dict[str, tuple[float, str]] = {}


def agreement(model: FileModel) -> str:
    """Say how far the fast engine and libRoadRunner agree on a file; empty before its first run."""
    return _COMPARED.get(_digest(model), (0.0, ""))[1]


def ready(model: FileModel, until: float, engine: str, start: str) -> FileModel:
    """Return the model with the size of its states over a run, after comparing one member with libRoadRunner.

    The comparison is made once for a file and again only for a longer run.

    Raises
    ------
    UsageError
        If the file has what the engine, or a start at rest, does not cover.
    ModelError
        If libRoadRunner finds something else in the file.
    SolverFailed
        If one member with the values of the file cannot be integrated.
    """
    # with them wakes sympy, which a run of our own model does without
    from metabolism.engines import load_foreign, typical

    if engine == "roadrunner":
        raise UsageError("a model from a file runs on engine 'fast' or 'scipy'; libRoadRunner checks it.")
    if engine == "scipy" and equations(model).events:
        raise UsageError("it has events, which engine 'scipy' does not carry out; use engine='fast'.")
    if start == "rest" and model.not_at_rest:
        raise UsageError("its rates or events run with time, so it has no resting state; use start='initial'.")
    if start == "rest" or model.size is not None:
        return model
    if until > _COMPARED.get(_digest(model), (0.0, ""))[0]:
        _log.info("comparing %s with libRoadRunner up to %g (once, a few seconds)", model.id, until)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.xml"
            path.write_text(model.source, encoding="utf-8")
            found = load_foreign(path, until, equations=equations(model))
        said = found.remarks[-1].replace(f"'{path}': ", "")
        if found.agreement is None or found.sensitive:
            _log.warning("%s: %s", model.id, said)
        _COMPARED[_digest(model)] = until, f"one member, 0 to {until:g}: {said}"
    parameters, initial = model.starts({}, 1)
    return replace(model, size=tuple(typical(equations(model), parameters, initial, 0.0, until).tolist()))


def _digest(model: FileModel) -> str:
    return hashlib.sha256(model.source.encode()).hexdigest()
