"""A foreign SBML file beside our model, read in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metabolism.sbml.fingerprint import UNTIL, differences, sbml_fingerprint
from metabolism.sbml.foreign import checked_text, flatten
from metabolism.sbml.sandbox import MEGABYTES, SECONDS, in_sandbox


def file_fingerprint(
    path: str | Path, until: float = UNTIL, *, seconds: int = SECONDS, megabytes: int = MEGABYTES
) -> dict[str, Any]:
    """Return the fingerprint of an SBML file; whatever is wrong with the file ends in one clear error.

    Parameters
    ----------
    path : str or Path
    until : float
        End of the run that executes events [time unit of the file].
    seconds, megabytes : int
        Limits of the process that reads the file.

    Raises
    ------
    ModelError
        If the file is broken, hostile or not covered, or its analysis needs more than the limits.
    """
    document: dict[str, Any] = in_sandbox(
        "metabolism.sbml.compare:fingerprint_of", path, {"until": until}, seconds=seconds, megabytes=megabytes
    )
    return document


def fingerprint_of(path: str, until: float) -> dict[str, Any]:
    """Read a file in this process, checks first, and return its fingerprint."""
    text, remarks = flatten(checked_text(path))
    return sbml_fingerprint(text, until, remarks)


def side_by_side(*fingerprints: Mapping[str, Any]) -> str:
    """Return a table of one or more fingerprints: sizes, rest, time constants, theorems, largest control, remarks."""
    rows: list[list[str]] = [["", *(str(f["model"]["id"]) for f in fingerprints)]]
    for key in ("states", "reactions", "constants", "events"):
        rows.append([key, *(str(f["model"][key]) for f in fingerprints)])
    for label, value in _ROWS:
        rows.append([label, *(value(f) if f["steady_state"] else "–" for f in fingerprints)])
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, width, strict=True)).rstrip() for row in rows]
    for f in fingerprints:
        lines += [f"{f['model']['id']}: {remark}" for remark in f["remarks"]]
        for event, row in (f["events"] or {}).items():
            added = ", ".join(f"{k} {v:g}" for k, v in row["added"].items())
            lines.append(f"{f['model']['id']}: event {event} fired {row['count']} times, added {added}")
        if f["problem"]:
            lines.append(f"{f['model']['id']}: {f['problem']}")
    if len(fingerprints) == 2:
        one, two = (set((f["steady_state"] or {"values": {}})["values"]) for f in fingerprints)
        if one and one == two:
            differing = differences(*fingerprints)
            lines.append(
                f"the same states; {len(differing)} numbers differ"
                if differing
                else "the same states; identical to 1e-6"
            )
            lines += [f"  {line}" for line in differing[:20]]
    return "\n".join(lines)


def _modes(fingerprint: Mapping[str, Any]) -> list[float]:
    """Real parts of the eigenvalues that belong to no conserved moiety, fastest first."""
    real = sorted(e[0] for e in fingerprint["eigenvalues"])
    zero = sorted(range(len(real)), key=lambda i: abs(real[i]))[: len(fingerprint["conserved_moieties"])]
    return [v for i, v in enumerate(real) if i not in zero]


def _time_constant(fingerprint: Mapping[str, Any], which: int) -> str:
    value = _modes(fingerprint)[which]
    return f"{-1 / value:.4g}" if value < 0 else "none (unstable)"


def _largest(fluxes: Mapping[str, float]) -> str:
    key = max(fluxes, key=lambda k: abs(fluxes[k]))
    return f"{key} {fluxes[key]:.4g}"


def _strongest(fingerprint: Mapping[str, Any]) -> str:
    entries = [(abs(c), c, j, v) for j, row in fingerprint["flux_control"].items() for v, c in row.items() if v != j]
    if not entries:
        return "none"
    _, c, j, v = max(entries)
    return f"{v} on {j} {c:.3g}"


#: What a table of fingerprints says of a resting state.
_ROWS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("conserved moieties", lambda f: str(len(f["conserved_moieties"]))),
    ("held states", lambda f: ", ".join(f["held"]) or "none"),
    ("residual at rest [1/time]", lambda f: f"{f['steady_state']['residual']:g}"),
    ("slowest time constant [time]", lambda f: _time_constant(f, -1)),
    ("fastest time constant [time]", lambda f: _time_constant(f, 0)),
    ("stable", lambda f: "yes" if _modes(f)[-1] < 0 else "no"),
    ("largest flux", lambda f: _largest(f["fluxes"])),
    ("theorems to 1e-6", lambda f: "hold" if f["theorems"]["hold"] else "broken"),
    ("strongest flux control", lambda f: _strongest(f)),
)
