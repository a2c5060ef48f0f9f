"""Doses as event tables, the data format of NONMEM, rxode2 and mrgsolve: ID, TIME, AMT, EVID, II, ADDL, RATE, CMT."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.dosing.events import Dose, read_amount, series
from metabolism.dosing.formulary import Substance, substance
from metabolism.dosing.wording import alike, runs
from metabolism.errors import InvalidRegimen, UnknownName
from metabolism.tables import read_table
from metabolism.units import magnitude, number

if TYPE_CHECKING:
    import pandas as pd


#: Columns that are read; the last two are ours and name what a number in CMT would leave open.
COLUMNS = ("ID", "TIME", "AMT", "EVID", "II", "ADDL", "SS", "RATE", "CMT", "SUBSTANCE", "ROUTE")

#: Columns of observations, which a regimen has no use for.
OBSERVED = ("DV", "MDV", "CENS", "LIMIT", "BLQ", "LLOQ")


def read_events(
    events: str | Path | pd.DataFrame,
    *,
    amount: str = "mg",
    time: str = "h",
    name: str = "methylcobalamin",
    routes: Mapping[Any, str] | None = None,
) -> dict[str, tuple[Dose, ...]]:
    """Read the doses of every patient of an event table.

    Parameters
    ----------
    events : path or DataFrame
        Every column is one of `COLUMNS` or `OBSERVED`. Rows with EVID 0 or 2 are no doses.
    amount, time : str
        Units of AMT (and of RATE, per unit of time), and of TIME and II.
    name : str
        Substance, where there is no column SUBSTANCE.
    routes : mapping, optional
        Route by value of CMT, where there is no column ROUTE; a CMT that is a route or a target speaks for itself.

    Raises
    ------
    InvalidRegimen
        With the row, for what is no dose: resets, steady-state rows, modelled rates, ADDL without II.
    InvalidValue, UnitMismatch, UnknownName
    """
    doses: dict[str, list[Dose]] = defaultdict(list)
    for row, cells in _rows(events):
        where = f"row {row} of the event table"
        value = {c: number(cells[c], f"{c} in {where}") if cells.get(c) else 0.0 for c in COLUMNS[1:8]}
        kind = value["EVID"] if cells.get("EVID") else float(value["AMT"] != 0)
        if kind in (0, 2):
            continue
        if kind != 1:
            raise InvalidRegimen(f"EVID {kind:g} in {where} is no dose; 0, 1 and 2 are read, resets are not.")
        if value["SS"]:
            raise InvalidRegimen(
                f"SS {value['SS']:g} in {where}: liver stores fill over years, so no steady state is assumed; "
                "write the doses before as ADDL and II, at a negative TIME."
            )
        if value["RATE"] < 0:
            raise InvalidRegimen(f"RATE {value['RATE']:g} in {where} is a modelled one; give a rate above 0, or none.")
        if value["ADDL"] != int(value["ADDL"]) or value["ADDL"] < 0 or bool(value["ADDL"]) != bool(value["II"]):
            raise InvalidRegimen(f"{where}: ADDL is a whole number of further doses, II > 0 the time between them.")
        chosen = substance(cells.get("SUBSTANCE") or name)
        duration = value["AMT"] / value["RATE"] if value["RATE"] else 0.0
        said = f"{value['AMT']:.15g} {amount}"
        start, length, gap = (magnitude(f"{span!r} {time}", "h") for span in (value["TIME"], duration, value["II"]))
        route = _route(cells, chosen, routes or {}, where)
        first = Dose(start, read_amount(said, chosen), chosen.name, route, length, 0.0, said)
        doses[cells.get("ID") or "1"] += series(first, gap, int(value["ADDL"]) + 1)
    return {patient: tuple(own) for patient, own in doses.items()}


def _rows(events: str | Path | pd.DataFrame) -> Iterable[tuple[int, dict[str, str]]]:
    """Cells as text by column, with the number of the row; every column is known, every row complete."""
    if isinstance(events, (str, Path)):
        records = read_table(events, (), more=True)
        table = [list(records[0]), *(list(record.values()) for record in records)] if records else []
    else:
        table = [[str(c) for c in events.columns], *([str(v) for v in row] for row in events.to_numpy(dtype=object))]
    heads = [head.strip().upper() for head in table[0]] if table else []
    for head in heads:
        if head not in COLUMNS + OBSERVED or heads.count(head) > 1:
            raise UnknownName("column", head, COLUMNS, "Each stands once; leave covariates out of an event table.")
    if not {"TIME", "AMT"} <= set(heads):
        raise InvalidRegimen(f"an event table needs TIME and AMT; its columns are {', '.join(heads) or 'none'}.")
    for row, cells in enumerate(table[1:], start=1):
        texts = ("" if cell.strip() in (".", "nan", "NA", "None", "<NA>") else cell.strip() for cell in cells)
        yield row, dict(zip(heads, texts, strict=True))


def _route(cells: Mapping[str, str], chosen: Substance, routes: Mapping[Any, str], where: str) -> str:
    """Route of a row: said, or that of its compartment."""
    place = cells.get("CMT", "")
    given = {str(key): route for key, route in routes.items()}
    told = cells.get("ROUTE") or given.get(place) or given.get(place.removesuffix(".0")) or place
    if told in chosen.routes:
        return told
    leading = [route for route, (target, _) in chosen.routes.items() if target == told]
    if not leading:
        raise InvalidRegimen(
            f"CMT '{place}' in {where} names no route of {chosen.name}; give routes={{{place or 1}: 'im'}}, a column "
            f"ROUTE, or one of {', '.join(chosen.routes)} as CMT."
        )
    return leading[0]


def write_events(doses: Iterable[Dose], amount: str = "mg", patient: int = 1) -> pd.DataFrame:
    """Write doses as `Regimen.to_events` says: one row for each run of equal, equally spaced doses."""
    import pandas as pd

    rows = []
    for group in alike(doses):
        one = group[0]
        chosen = substance(one.substance)
        size = float(f"{one.amount / magnitude(f'1 {amount}', 'umol', 'amount', chosen.molar_mass):.14g}")
        for first, gap, count in runs([dose.time for dose in group]):
            if one.every:
                raise InvalidRegimen("doses repeated without end have no ADDL; cut the regimen with until() first.")
            rate, target = size / one.duration if one.duration else 0.0, chosen.routes[one.route][0]
            rows.append((patient, first, size, 1, gap, count - 1, 0, rate, target, chosen.name, one.route))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values("TIME", kind="stable", ignore_index=True)
