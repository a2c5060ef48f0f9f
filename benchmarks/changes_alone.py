"""What each change of the second version does alone: switched off by its parameters, everything else kept, no refit.

Run as ``python benchmarks/changes_alone.py`` (one or two minutes); it prints the table of docs/decisions/0007.
"""

from __future__ import annotations

import numpy as np

from metabolism.cases import Row, predict, read_cases
from metabolism.model import MODEL_KINDS, closure, load

#: Change to the values that undo it: the first version's where it had the parameter, else one without effect.
OFF: dict[str, dict[str, float]] = {
    "none (all changes on)": {},
    "1 steep synthase": {"MS_n_cbl": 1.5, "MS_K_cbl": 0.436, "MCM_n_cbl": 4.09, "MCM_K_cbl": 0.185},
    "1 induction by cobalamin": {"MS_induction": 0.0},
    "2 transsulfuration follows SAM and saturates": {
        "CBS_Km_hcy": 1000.0,
        "CBS_n_sam": 2.0,
        "CBS_activation": 2.0,
        "CBS_Ka_sam": 80.0,
    },
    "2 feedback on MAT": {"MAT_tissue_n_sam": 1.0, "MAT_tissue_Km": 10.0, "MAT3_n_sam": 1.0, "MAT3_n": 1.21},
    "3 release of folate of any form": {"FOLATE_RELEASE_other": 0.0},
    "3 folate protects 677T": {"MTHFR_677T_protection": 0.0},
    "3 losses above proportion": {"FOLATE_CAT_n": 0.0},
    "4 BHMT: slow repression, smaller Km": {"BHMT_k": 50.0, "BHMT_Km_betaine": 500.0, "BHMT_Ki_sam": 476.0},
    "5 ceiling of severe states": {
        "ref_TM_tissue": 172.6,
        "HCY_CLEARANCE_K": 179.4,
        "MT_tissue_Ki_sah": 1.0,
        "hcy_space": 27.0,
    },
    "5 clearance needs CBS": {"HCY_CLEARANCE_K_cbs": 0.0},
    "6 stomach and enterocyte": {"CBL_STOMACH_k": 50.0, "CBL_ILEUM_k": 20.0},
    "6 receptors of transcobalamin": {"HOLOTC_RELEASE_k": 0.0, "HOLOTC_UPTAKE_k": 50.0},
    "6 haptocorrin follows cells": {"HC_gain": 0.0},
    "7 overflow above loads only": {"MET_OVERFLOW_n": 2.0, "MET_OVERFLOW_K": 560.0},
    "8 SAH from tissue and overflow": {"SAH_EXPORT_tissue_k": 0.0, "SAH_EXPORT_over": 0.0},
    "11 depot, subcutaneous": {"IM_K": 1e9, "SC_ka": 2.48, "IM_ka": 2.48},
}


def table() -> tuple[list[Row], np.ndarray]:
    """Predict all shipped rows with each change switched off.

    Returns
    -------
    rows : list of Row
    values : ndarray, shape (rows, changes)
        In the unit of each row; NaN where nothing can be simulated or the reference state cannot be closed.
    """
    model = load()
    rows = read_cases(model)
    closed, parameters = closure(model.table), model.table
    asked = sorted({key for change in OFF.values() for key in change})
    possible, records = [], []
    for number, change in enumerate(OFF.values()):
        given = {key: change.get(key, parameters[key].value) for key in asked}
        values = {**given, **closed.values(given)}
        if min(values.values()) < 0:
            continue
        possible.append(number)
        records.append({k: v for k, v in values.items() if parameters[k].kind in MODEL_KINDS})
    found = np.full((len(rows), len(OFF)), np.nan)
    columns = {k: np.array([r[k] for r in records]) for k in records[0]}
    found[:, possible] = predict(model, rows, columns, rtol=1e-6).values
    return rows, found


def main() -> None:
    """Print the table as Markdown."""
    rows, values = table()
    low, high = (np.array([getattr(r, side) for r in rows])[:, None] for side in ("low", "high"))
    passed = (values >= low) & (values <= high)
    print("| switched off | rows inside | lost | gained |\n|---|---|---|---|")
    for number, name in enumerate(OFF):
        if np.isnan(values[:, number]).all():
            print(f"| {name} | - | the reference state cannot be closed | |")
            continue
        lost = [r.id for i, r in enumerate(rows) if passed[i, 0] and not passed[i, number]]
        won = [r.id for i, r in enumerate(rows) if passed[i, number] and not passed[i, 0]]
        inside = f"{passed[:, number].sum()} of {len(rows)}"
        print(f"| {name} | {inside} | {', '.join(lost) or '-'} | {', '.join(won) or '-'} |")


if __name__ == "__main__":
    main()
