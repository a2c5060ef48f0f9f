"""The self-contained HTML report of one experiment run: no network, prints well."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.result import write_text

if TYPE_CHECKING:
    from metabolism.registry import Claim, Experiment, Outcome


def write_report(
    folder: Path, chosen: Experiment, outcome: Outcome, manifest: Mapping[str, Any], gaps: Mapping[str, str]
) -> Path:
    """Write ``report.html`` into a finished results folder.

    Parameters
    ----------
    folder : Path
        Holds ``figures/*.png``, which are embedded.
    gaps : mapping of str to str
        Claims known to fail, with the reason printed beside them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("metabolism"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    figures = [
        {"name": p.stem, "title": _title(p.stem), "data": base64.b64encode(p.read_bytes()).decode()}
        for p in sorted((folder / "figures").glob("*.png"))
    ]
    tables = [
        {
            "name": key,
            "title": _title(key),
            "columns": list(table.columns),
            "rows": table.head(60).to_numpy().tolist(),
            "length": len(table),
        }
        for key, table in outcome.tables.items()
    ]
    html = environment.get_template("report.html").render(
        experiment=chosen,
        outcome=outcome,
        claims=[(claim, verdict(chosen.id, claim, gaps)) for claim in outcome.claims],
        figures=figures,
        tables=tables,
        manifest=manifest,
    )
    return write_text(folder / "report.html", html)


def verdict(experiment: str, claim: Claim, gaps: Mapping[str, str]) -> tuple[str, str]:
    """Return (word, reason) for one claim: holds, known gap, or fails."""
    if claim.holds:
        return "holds", ""
    reason = gaps.get(f"{experiment}.{claim.id}", "")
    return ("known gap", reason) if reason else ("fails", "")


def number(value: Any) -> str:
    """Print a value with four significant digits, and text as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if math.isnan(value):
        return "–"
    return f"{value:d}" if isinstance(value, int) else f"{value:.4g}".replace("-", "−")


def _title(stem: str) -> str:
    text = stem.lstrip("0123456789_").replace("_", " ")
    return text[:1].upper() + text[1:]
