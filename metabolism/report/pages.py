"""Self-contained HTML reports, read from the folders of finished runs: one run, or an index over all experiments."""

from __future__ import annotations

import base64
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.data import experiment_texts
from metabolism.errors import MetabolismError, OutputError
from metabolism.files import render, write_text
from metabolism.units import in_words, label, minus, written

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

_log = logging.getLogger("metabolism")

#: A table of more rows or columns is raw: a report links its file and does not print it.
SHOWN_ROWS, SHOWN_COLUMNS = 20, 8

#: What can be said of a claim. Numbers that were fitted or put in agree by construction and are counted apart.
WORDS = ("holds", "by construction", "finding", "known gap", "fails")

#: Columns of ids that a reader is shown as words; the file keeps them as they are.
_NAMED = frozenset({"arm", "moment", "scenario", "mechanism", "design", "group"})

#: A number counts as changed when it moved by more than this share.
CHANGED = 1e-6


@dataclass(frozen=True, eq=False)
class Cell:
    """One printed value and what it was in the run before, where that differs."""

    text: str
    numeric: bool = False
    before: str = ""


def write_report(folder: Path, gaps: Mapping[str, str], previous: Path | None = None) -> Path:
    """Write ``report.html`` into the folder of a finished run: manifest, tables and figures in one file.

    `gaps` are claims known to fail, with the reason printed beside them; differences are marked from `previous`.
    """
    run = read_run(folder, gaps, previous)
    return write_text(folder / "report.html", _render("report.html", run=run))


def write_index(out: Path, questions: Mapping[str, str], gaps: Mapping[str, str], maps: Sequence[str] = ()) -> Path:
    """Write ``index.html`` over the newest run of every experiment.

    Parameters
    ----------
    out : Path
        Folder of results, one folder per experiment.
    questions : mapping of str to str
        Every known experiment and its question; those without a run are listed as such.
    maps : sequence of str
        Drawings of the whole system (SVG), shown first.

    Raises
    ------
    OutputError
        If there is no finished run at all.
    """
    runs, waiting = [], {}
    for name in sorted({*questions, *_experiments(out)}):
        finished = finished_runs(out / name)
        if finished:
            run = read_run(finished[-1], gaps, previous_run(finished[-1]))
            runs.append(run | {"base": f"{name}/{finished[-1].name}/"})
        else:
            waiting[name] = questions[name]
    if not runs:
        raise OutputError(f"there is no finished run in '{out}'; run one with `metabolism run jetals`, or give --out.")
    version = runs[-1]["manifest"]["versions"]["als-methionine"]
    counts = {w: sum(c["verdict"] == w for r in runs for c in r["claims"]) for w in WORDS}
    fill = {"runs": runs, "waiting": waiting, "maps": maps, "version": version, "words": WORDS, "counts": counts}
    return write_text(out / "index.html", _render("index.html", **fill))


def finished_runs(folder: Path) -> list[Path]:
    """Return the finished runs of one experiment, oldest first; full runs count as newer than quick ones.

    A run that is damaged, or of an older version, is passed over: it must not stand in the way of a new one.
    """
    whole: dict[Path, bool] = {}
    for path in folder.glob("*/manifest.json"):
        if not path.parent.name.startswith("."):
            try:
                whole[path.parent] = bool(read_manifest(path.parent)["quick"])
            except MetabolismError as error:
                _log.warning("%s", error)
    return sorted(whole, key=lambda p: (not whole[p], p.name))


def previous_run(folder: Path) -> Path | None:
    """Return the run before this one of the same experiment and size, if there is one."""
    stamp = folder.name.strip(".").partition(".part")[0]
    quick = read_manifest(folder)["quick"]
    older = [p for p in finished_runs(folder.parent) if p.name < stamp and read_manifest(p)["quick"] == quick]
    return max(older, key=lambda p: p.name) if older else None


def _experiments(out: Path) -> list[str]:
    return [p.name for p in out.iterdir() if p.is_dir() and finished_runs(p)] if out.is_dir() else []


#: What a report cannot do without.
_NEEDED = ("experiment", "title", "question", "answer", "quick", "seed", "created", "claims", "citations", "versions")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run.

    Raises
    ------
    MetabolismError
        If the folder holds no run.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {key: manifest[key] for key in _NEEDED} | manifest
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MetabolismError(f"'{folder}' is not a finished run of this version ({error}).") from None


def read_run(folder: Path, gaps: Mapping[str, str], previous: Path | None = None) -> dict[str, Any]:
    """Return what a report shows of one run, read from its folder, with differences from the run before."""
    import pandas as pd

    manifest = read_manifest(folder)
    before = read_manifest(previous) if previous else None
    tables = []
    for path in sorted((folder / "tables").glob("*.csv")):
        old = None
        # not there, or damaged: nothing to compare with
        with suppress(OSError, ValueError):
            old = pd.read_csv(previous / "tables" / path.name) if previous else None
        tables.append(_table(path.stem, pd.read_csv(path), old))
    captions = experiment_texts(manifest["experiment"])
    # in the order the experiment gave them, not of the alphabet
    order = {name: i for i, name in enumerate(manifest.get("tables", []))}
    tables.sort(key=lambda t: order.get(t["name"], len(order)))
    return {
        "id": manifest["experiment"],
        "base": "",
        "manifest": manifest,
        # in the order of importance, which the experiment gave them
        "claims": [
            _claim(manifest["experiment"], key, manifest["claims"][key], gaps, before)
            for key in manifest.get("claim_order", manifest["claims"])
        ],
        "figures": [_figure(p, captions.get(p.stem)) for p in sorted((folder / "figures").glob("*.svg"))],
        "tables": [t for t in tables if not t["raw"]],
        "raw": [t for t in tables if t["raw"]],
        "changes": _changes(manifest, before) if before else [],
        "previous": before["created"] if before else "",
    }


def _claim(
    experiment: str, key: str, claim: Mapping[str, Any], gaps: Mapping[str, str], before: Mapping[str, Any] | None
) -> dict[str, Any]:
    word, reason = verdict(f"{experiment}.{key}", bool(claim["holds"]), claim.get("role", "check"), gaps)
    old = before["claims"].get(key) if before else None
    was = ""
    if old and _differs(claim["predicted"], old["predicted"]):
        was = number(old["predicted"]) + ("" if old["holds"] == claim["holds"] else " and the verdict was different")
    elif before is not None and old is None:
        was = "not there"
    return {**claim, "verdict": word, "reason": reason, "before": was}


def verdict(claim: str, holds: bool, role: str, gaps: Mapping[str, str]) -> tuple[str, str]:
    """Return one of `WORDS` for a claim (``experiment.claim``), and the reason where it does not hold."""
    if holds:
        return "holds" if role == "check" else "by construction", ""
    reason = gaps.get(claim, "")
    if reason.startswith(_FINDING):
        reason = reason.removeprefix(_FINDING).strip()
        return "finding", reason[:1].upper() + reason[1:]
    return ("known gap", reason) if reason else ("fails", "")


#: How the reason of a failing claim begins that answers the question instead of showing a defect.
_FINDING = "This miss is the finding:"


def _table(name: str, table: pd.DataFrame, old: pd.DataFrame | None) -> dict[str, Any]:
    comparable = old is not None and list(old.columns) == list(table.columns) and len(old) == len(table)
    rows = []
    named = [c in _NAMED for c in table.columns]
    for i, row in enumerate(table.head(SHOWN_ROWS).itertuples(index=False)):
        cells = []
        for j, value in enumerate(row):
            was = old.iat[i, j] if comparable and old is not None else value
            text = "" if isinstance(value, float) and math.isnan(value) else number(_plain(value))
            text = in_words(text) if named[j] else label(text) if table.columns[j] == "unit" else text
            before = number(_plain(was)) if comparable and _differs(value, was) else ""
            cells.append(Cell(text, not isinstance(value, str), before))
        rows.append(cells)
    changed = sum(bool(c.before) for r in rows for c in r)
    note = f"{changed} values changed" if changed else "its shape changed" if old is not None and not comparable else ""
    numeric = [all(row[j].numeric for row in rows) for j in range(len(table.columns))]
    heads = [Cell(str(column).replace("[u", "[µ"), numeric[j]) for j, column in enumerate(table.columns)]
    about: dict[str, Any] = {"name": name, "title": _title(name), "columns": list(table.columns), "heads": heads}
    about["raw"] = len(table) > SHOWN_ROWS or len(table.columns) > SHOWN_COLUMNS
    return about | {"rows": rows, "length": len(table), "note": note}


def _differs(new: Any, old: Any) -> bool:
    try:
        a, b = float(new), float(old)
    except (TypeError, ValueError):
        return bool(str(new) != str(old))
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) != math.isnan(b)
    return abs(a - b) > CHANGED * max(abs(a), abs(b))


def _changes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """List what could explain a difference: everything a manifest records of the two runs."""
    said = {"model_hash": "the equations", "parameter_hash": "the parameter values", "seed": "the seed"}
    said |= {"changed": "values set by the user", "sets": "parameter sets", "engine": "the engine"}
    lines = [f"{words} changed" for key, words in said.items() if new.get(key) != old.get(key)]
    for group, words in (("data_sha256", "data"), ("versions", "version of")):
        a, b = new.get(group, {}), old.get(group, {})
        lines += [
            f"{words} {k}: {b.get(k, 'none')} → {a.get(k, 'none')}"[:120]
            for k in sorted({*a, *b})
            if a.get(k) != b.get(k)
        ]
    return lines


def _figure(path: Path, caption: str | None) -> dict[str, str]:
    """Return one figure: its PNG embedded, or, if it was drawn as SVG alone, the drawing itself."""
    png, title = path.with_suffix(".png"), _title(path.stem)
    if not png.is_file():
        html = f'<div class="scroll">{path.read_text(encoding="utf-8")}</div>'
    else:
        data = base64.b64encode(png.read_bytes()).decode()
        html = f'<div class="scroll"><img alt="{escape(caption or title)}" src="data:image/png;base64,{data}"></div>'
    return {"name": path.stem, "title": title, "caption": caption or f"{title}.", "html": html}


def _render(template: str, **values: Any) -> str:
    return render(
        "metabolism.report", template, {"number": number, "linked": linked, "parted": parted, "label": label}, **values
    )


def linked(text: Any) -> Markup:
    """Return a text as HTML: DOIs and addresses are links, backticks hold code, numbers and units are typeset."""
    from markupsafe import Markup, escape

    doi = r"(?<![\w/])(?:doi:)?(10\.\d{4,9}/[^\s;,&<>]*[^\s;,.&<>)])"
    html = re.sub(doi, r'<a href="https://doi.org/\1">doi:\1</a>', str(escape(text)))
    html = re.sub(r"(?<![\w\"/])https?://[^\s<>\"]*[^\s<>\".,;)]", lambda m: f'<a href="{m[0]}">{m[0]}</a>', html)
    pieces = re.split(r"(<a .*?</a>|`[^`]+`)", html)
    return Markup(
        "".join(f"<code>{t[1:-1]}</code>" if t[:1] == "`" else t if t[:1] == "<" else _set(t) for t in pieces)
    )


def _set(text: str) -> str:
    """Minus signs, micro and powers of ten as they are printed, not as they are typed."""
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)\b", lambda m: m[1] + _power(m[2]), text)
    return re.sub(r"(?<=[\d ])u(?=(?:M|mol|g)\b)", "µ", minus(text))


def parted(key: str) -> Markup:
    """Return the key of a source as HTML that may be broken between its words."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(
        escape(part) for part in re.findall(r"[A-Z]?[^A-Z\d]+|[A-Z]+(?![^A-Z\d])|[\dA-Z]+", key) or [key]
    )


def _plain(value: Any) -> Any:
    """Return a numpy scalar as the Python one."""
    return value.item() if hasattr(value, "item") else value


def number(value: Any) -> str:
    """Print a number with four significant digits and a minus sign, and text as it is.

    >>> number(10140.2), number(-2.256), number(3e-5), number("25 mg im")
    ('10,140', '−2.256', '3 × 10⁻⁵', '25 mg im')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if math.isnan(value):
        return "–"
    digits, _, power = (f"{value:,d}" if isinstance(value, int) else written(value)).partition("e")
    return minus(digits) + (_power(power) if power else "")


def _power(exponent: str) -> str:
    return f" × 10{str(int(exponent)).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _title(key: str) -> str:
    words = in_words(key.lstrip("0123456789_"))
    return words[:1].upper() + words[1:]
