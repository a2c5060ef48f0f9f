"""A foreign SBML file beside our model: read in a process of its own, with limits of time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metabolism.errors import MetabolismError, ModelError
from metabolism.sbml.fingerprint import UNTIL, differences, sbml_fingerprint

#: Limits of the reading process: wall and CPU time [s], address space [MB].
SECONDS, MEGABYTES = 300, 4000


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
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "metabolism.sbml.compare",
        str(path),
        repr(until),
        str(seconds),
        str(megabytes),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ModelError(f"'{path}' was not analysed within {seconds} s; give --seconds for more time.") from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if "fingerprint" in answer:
        found: dict[str, Any] = answer["fingerprint"]
        return found
    if "error" in answer:
        raise ModelError(str(answer["error"]))
    if done.returncode < 0:
        raise ModelError(
            f"reading '{path}' ended the process that did it (signal {-done.returncode}); limits were {seconds} s of CPU "
            f"and {megabytes} MB."
        )
    reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
    raise ModelError(f"'{path}' could not be analysed: {reason[0]}")


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
            found = differences(*fingerprints)
            lines.append(
                f"the same states; {len(found)} numbers differ" if found else "the same states; identical to 1e-6"
            )
            lines += [f"  {line}" for line in found[:20]]
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


def _limit(seconds: int, megabytes: int) -> None:
    try:
        import resource
    except ImportError:
        # Windows has no such limits: the time limit of the parent remains
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _child(path: str, until: float, seconds: int, megabytes: int) -> dict[str, Any]:
    from metabolism.sbml.foreign import checked_text, flatten

    _limit(seconds, megabytes)
    try:
        text, remarks = flatten(checked_text(path))
        return {"fingerprint": sbml_fingerprint(text, until, remarks)}
    except ModelError as error:
        message = str(error)
        return {"error": message if message.startswith("'") else f"'{path}': {message}"}
    except MetabolismError as error:
        return {"error": f"'{path}': {error}"}
    except MemoryError:
        return {"error": f"'{path}' needs more than the {megabytes} MB allowed."}
    except RecursionError:
        return {"error": f"'{path}' has formulas nested too deeply to be read."}
    except Exception as error:
        # a foreign file can break any library: the user gets a sentence, never the session
        return {"error": f"'{path}' could not be analysed ({type(error).__name__}: {' '.join(str(error).split())})."}


if __name__ == "__main__":
    _, file, end, time_limit, memory_limit = sys.argv
    print(json.dumps(_child(file, float(end), int(time_limit), int(memory_limit))))
