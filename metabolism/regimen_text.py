"""The grammar of dosing regimens: from words to doses, and back without loss.

A regimen reads ``"50 mg im every 3.5 d x 32 + 0.8 mg folic acid oral daily x 112"``; `metabolism.regimen.Regimen.parse`
describes the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from metabolism.errors import InvalidRegimen

EXAMPLE = "write e.g. '50 mg im every 3.5 d x 32' or '400 ug folic acid oral daily x 84'"
_ROUTES = {
    "im": "im", "intramuscular": "im", "sc": "sc", "subcutaneous": "sc", "iv": "iv", "intravenous": "iv",
    "oral": "oral", "orally": "oral", "po": "oral", "by mouth": "oral", "intrathecal": "intrathecal",
}  # fmt: skip
_INTERVALS = {"daily": 24.0, "weekly": 168.0, "twice weekly": 84.0, "twice daily": 12.0, "monthly": 730.5}
_CLAUSES = {"over": "duration", "every": "interval", "x": "count", "from": "start"}
# the unit must not swallow the next keyword: "every 3.5d x 32" is an interval and a count
_TIME = r"[-+]?[0-9.]+(?:e[-+]?[0-9]+)?\s*(?!(?:x|over|every|from)\b)[a-z]+"
_PART = re.compile(
    r"(?P<amount>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf)\s*(?P<unit>[a-zµμ]+)\s+"
    r"(?:(?P<substance>[a-z][a-z0-9 ,'-]*?)\s+)?"
    rf"(?P<route>{'|'.join(sorted(_ROUTES, key=len, reverse=True))})\b"
    rf"(?:\s+over\s+(?P<over>{_TIME}))?"
    rf"(?:\s+(?:every\s+(?P<every>{_TIME})|(?P<word>daily|weekly|twice weekly|twice daily|monthly)|q(?P<hours>\d+)h))?"
    r"(?:\s+x\s*(?P<count>\S+))?"
    rf"(?:\s+from\s+(?P<start>{_TIME}))?",
)


def read_regimen(text: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `metabolism.regimen.Regimen.of` for each part of a regimen in words.

    Raises
    ------
    InvalidRegimen
    """
    # the plus of "1e+16 h" joins nothing
    parts = [p.strip() for p in re.split(r"(?<![0-9.][eE])\+|;", text)]
    if not any(parts):
        raise InvalidRegimen(f"the regimen is empty; {EXAMPLE}, or leave it out for no treatment.")
    if not all(parts):
        raise InvalidRegimen(f"'{text}' has a '+' or ';' with no dose beside it; {EXAMPLE}.")
    for part in parts:
        yield _read_part(part)


def _read_part(part: str) -> dict[str, Any]:
    folded = " ".join(part.casefold().split())
    match = _PART.match(folded)
    if not match:
        raise InvalidRegimen(f"cannot read '{part}'; {EXAMPLE}.")
    rest = folded[match.end() :].strip()
    if rest:
        clause = _CLAUSES.get(rest.split()[0])
        kind, order = (f"the {clause} ", " (the order is over, every, x, from)") if clause else ("", "")
        raise InvalidRegimen(f"cannot read {kind}'{rest}' at the end of '{part}'{order}; {EXAMPLE}.")
    found = match.groupdict()
    route = _ROUTES[found["route"]]
    if not found["substance"] and route == "oral":
        raise InvalidRegimen(f"'{part}' does not say which substance is taken; {EXAMPLE}.")
    every: float | str | None = found["every"]
    if found["word"]:
        every = _INTERVALS[found["word"]]
    elif found["hours"]:
        every = float(found["hours"])
    if every is not None and not found["count"]:
        raise InvalidRegimen(f"'{part}' repeats without end; add how often, e.g. 'x 32'.")
    if every is None and found["count"]:
        raise InvalidRegimen(f"'{part}' says how often but not how far apart; add e.g. 'every 3.5 d'.")
    if found["count"] and not re.fullmatch(r"[0-9]{1,6}", found["count"]):
        raise InvalidRegimen(f"'x {found['count']}' in '{part}' must be a whole number from 1 to 100000.")
    return {
        "amount": f"{found['amount']} {found['unit']}",
        "substance_name": found["substance"] or "methylcobalamin",
        "route": route,
        "every": every,
        "count": int(found["count"] or 1),
        "start": found["start"] or 0.0,
        "duration": found["over"] or 0.0,
    }


def write_doses(amount: float, name: str, route: str, duration: float, times: list[float]) -> list[tuple[float, str]]:
    """Write equal doses [µmol] at some times [h] as regimens in words, each with its start [h]; they read back exactly."""
    parts = []
    for first, gap, count in _runs(times):
        text = f"{amount!r} umol {name} {route}"
        text += f" over {duration!r} h" if duration else ""
        text += f" every {gap!r} h x {count}" if count > 1 else ""
        text += f" from {first!r} h" if first else ""
        parts.append((first, text))
    return parts


def _runs(times: list[float]) -> list[tuple[float, float, int]]:
    """Split times into runs that ``first + i * gap`` gives back exactly: (first, gap, count)."""
    runs, i = [], 0
    while i < len(times):
        gap = times[i + 1] - times[i] if i + 1 < len(times) else 0.0
        count = 1
        while gap > 0 and i + count < len(times) and times[i] + count * gap == times[i + count]:
            count += 1
        runs.append((times[i], gap if count > 1 else 0.0, count))
        i += count
    return runs
