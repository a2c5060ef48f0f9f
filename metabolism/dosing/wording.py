"""Regimens back into words: those they were made from where these still hold, else words that read back the same."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from metabolism.dosing.events import Dose, Hold, clean, read_amount
from metabolism.dosing.formulary import substance
from metabolism.dosing.words import CLAUSE, DOSE, LASTING, clauses_of, read
from metabolism.errors import UsageError
from metabolism.model import parameter_table
from metabolism.units import magnitude


def write(doses: Iterable[Dose], holds: Iterable[Hold]) -> str:
    """Write doses and changes in words that read back the same: those they were made from where these still hold."""
    parts: list[tuple[float, str]] = []
    for said, group in _grouped(doses, lambda d: d.said).items():
        if _reads(said, group):
            parts.append((group[0].time, said))
        else:
            for kind in alike(group):
                parts += _write_doses(kind)
    texts = [text for _, text in sorted(parts)]
    # the order of changes counts
    changes = [list(same) for _, same in groupby(holds, lambda h: h.said)]
    for change in changes:
        if _reads(change[0].said, holds=change):
            texts.append(change[0].said)
        else:
            for _, once in groupby(change, lambda h: (h.start, h.end)):
                texts += _write_change(list(once))
    return ("; " if changes else " + ").join(texts) or "no treatment"


def _write_change(change: Sequence[Hold]) -> list[str]:
    """Write what changes at one time in the words it was said in, with other times if they moved, or one by one."""
    body = LASTING.split(change[0].said, maxsplit=1)[0]
    wordings = (change[0].said, body and body + _lasting(change[0]))
    return next(([text] for text in wordings if _reads(text, holds=change)), [*map(_write_hold, change)])


def _grouped(doses: Iterable[Dose], key: Callable[[Dose], Hashable]) -> dict[Any, list[Dose]]:
    groups: dict[Any, list[Dose]] = defaultdict(list)
    for dose in doses:
        groups[key(dose)].append(dose)
    return groups


def _reads(text: str, doses: Sequence[Dose] = (), holds: Sequence[Hold] = ()) -> bool:
    """Whether a text reads back as exactly these."""
    if not text:
        return False
    try:
        back = read(text)
    except UsageError:
        # a dose of an event table was made from its amount alone
        return False
    return sorted(back[0]) == sorted(doses) and list(back[1]) == list(holds)


def alike(doses: Iterable[Dose]) -> list[list[Dose]]:
    """Group doses that differ in time alone."""
    return list(_grouped(doses, lambda d: replace(d, time=0.0)).values())


def runs(times: Sequence[float]) -> list[tuple[float, float, int]]:
    """Split times [h] into runs of equal spacing that read back exactly: (first, gap, count); gap 0 for one."""
    runs_, i = [], 0
    while i < len(times):
        gap = clean(times[i + 1] - times[i]) if i + 1 < len(times) else 0.0
        count = 1
        while gap > 0 and i + count < len(times) and clean(times[i] + count * gap) == times[i + count]:
            count += 1
        runs_.append((times[i], gap if count > 1 else 0.0, count))
        i += count
    return runs_


def _write_doses(doses: Sequence[Dose]) -> list[tuple[float, str]]:
    """Write equal doses by runs of equal spacing, each with its start [h]."""
    one, parts = doses[0], []
    head = f"{quantity(one)} {one.substance} {one.route}" + (f" over {one.duration!r} h" if one.duration else "")
    for first, gap, count in [(d.time, d.every, 0) for d in doses] if one.every else runs([d.time for d in doses]):
        often = f" every {_time(gap)}" + (f" x {count}" if count else "") if gap else ""
        parts.append((first, head + often + (f" from {_time(first)}" if first else "")))
    return parts


def respelled(said: str, amount: str | None, every: str | None, count: int) -> str:
    """Return the words of one series with another amount, interval and count; empty if they cannot be put so."""
    first = CLAUSE.search(said)
    body = DOSE.fullmatch(said[: first.start()].strip()) if first else None
    if not first or not body or " then " in said:
        return ""
    clauses = clauses_of(said[first.start() :], said)
    last = "kg" if body["kg"] else "quantity"
    head = f"{amount or said[: body.end(last)]} {said[body.end(last) : first.start()]}"
    over, begin = (f" {key} {clauses[key]}" if key in clauses else "" for key in ("over", "from"))
    return " ".join(f"{head}{over} every {every or clauses.get('every', '')} x {count}{begin}".split())


def quantity(dose: Dose) -> str:
    """Return the amount of a dose as it was typed, or in the mass unit that is exact, or in umol."""
    chosen = substance(dose.substance)
    texts = [match.group() for match in re.finditer(r"[0-9.]+(?:e[-+]?[0-9]+)?\s*[a-zµμ]+", dose.said)]
    for unit, size in (("mg", 1e3), ("g", 1e6), ("ug", 1.0)):
        mass = dose.amount * chosen.molar_mass / size
        texts += [f"{mass:.12g} {unit}"] if 0.1 <= mass < 1000 else []
    for text in texts:
        try:
            if read_amount(text, chosen) == dose.amount:
                return text
        except UsageError:
            continue
    return f"{dose.amount!r} umol"


def _time(hours: float) -> str:
    """Write a time [h] in days or hours, whichever is shorter and exact."""
    texts = (f"{hours / 24:.12g} d", f"{hours!r} h".replace(".0 h", " h"))
    return min((text for text in texts if magnitude(text, "h") == hours), key=len)


def _lasting(hold: Hold) -> str:
    if hold.start == -math.inf:
        return " lifelong" if hold.end == math.inf else f" until {_time(hold.end)}"
    end = f" until {_time(hold.end)}" if hold.end < math.inf else ""
    return (f" from {_time(hold.start)}" if hold.start or end else "") + end


def _write_hold(hold: Hold) -> str:
    unit = "dimensionless" if hold.how == "x" else parameter_table()[hold.parameter].unit
    return f"{hold.parameter} {hold.how} {hold.value!r} {unit}" + _lasting(hold)
