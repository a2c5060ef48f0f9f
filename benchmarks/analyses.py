"""Type-I error of every analysis by simulation; writes ``benchmarks/analyses.csv``, which a test reads.

Two-arm trials in which the active arm loses motor units as fast as control. Three designs: JETALS as it was; JETALS
with leavers (6 % a month); and 78 weeks in which many die, where analyses that give the dead a score are refused.

    python benchmarks/analyses.py --out results/analyses          # resumes; ten minutes of one core
    python benchmarks/analyses.py --out results/analyses --design JETALS     # makes the trials of one design only
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

import metabolism as mb
from metabolism.trials import ANALYSES, Arm, Design, make_pool, read_design, replicate, wilson

SEED, BODIES = 20, 256

#: Trials of each design, and of the slower Bayesian analysis.
TRIALS, FEWER = 325, 175

#: Analyses that give the dead a score: those refused where many die.
SCORED = ("mmrm", "proportional", "jump_to_reference", "copy_reference", "copy_increments")


def designs() -> dict[str, tuple[Design, tuple[str, ...]]]:
    """Designs by name, with the analyses that each allows."""
    arms = (Arm("placebo"), Arm("active", loss_reduction=0.3))
    base = read_design("jetals").changed(arms=arms)
    died = base.changed(visits=(13.0, 26.0, 39.0, 52.0, 78.0), drop_out=0.01, strata=("onset",))
    return {
        "JETALS": (base, tuple(a for a in ANALYSES if a != "nfl")),
        "JETALS with leavers": (base.changed(drop_out=0.06), (*SCORED, "ancova", "slope", "joint_rate")),
        "78 weeks": (died, tuple(a for a in ANALYSES if a not in (*SCORED, "responder", "nfl"))),
    }


def rows(name: str, design: Design, analyses: tuple[str, ...], count: int, folder: Path) -> list[dict[str, object]]:
    """Run one design without an effect and count rejections."""
    pool = make_pool(mb.load().with_set("als_patient"), design, 0.0, size=BODIES, seed=1)
    part = folder / f"{name} {count}".replace(" ", "_")
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        print(f"{name}: {done} of {count}", flush=True)

    found = replicate(pool, design, 0.0, count, seed=SEED, analyses=analyses, reduction=0.0, folder=part, progress=tick)
    table = []
    for analysis in analyses:
        column = f"{analysis}:active - placebo"
        p, value = found.table[f"{column}:p"], found.table[f"{column}:value"]
        # a fit that failed rejects nothing
        rejected = int((p < 0.05).sum())
        low, high = wilson(rejected, count)
        row = {"design": name, "patients": design.patients, "analysis": analysis, "estimand": ANALYSES[analysis][0]}
        row |= {"trials": count, "failed": found.failures(analysis), "rejected": rejected}
        row |= {"share": rejected / count, "low": low, "high": high, "mean estimate": value.mean()}
        row |= {"SD of estimate": value.std(), "mean SE": found.table[f"{column}:se"].mean()}
        table.append(row | {"died": float((found.table["events"] / found.table["randomised"]).mean())})
    return table


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where finished trials are kept")
    parser.add_argument("--design", choices=list(designs()), help="only make the trials of this design")
    given = parser.parse_args()
    collected = []
    for name, (design, analyses) in designs().items():
        if given.design in (None, name):
            collected += rows(name, design, tuple(a for a in analyses if a != "bayes_rate"), TRIALS, given.out)
            if "bayes_rate" in analyses:
                collected += rows(name, design, ("bayes_rate",), FEWER, given.out)
    if given.design:
        return
    frame = pd.DataFrame(collected).assign(seed=SEED, version=mb.__version__, date=datetime.now(UTC).date().isoformat())
    frame.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.5g", lineterminator="\n")
    print(frame.to_string())


if __name__ == "__main__":
    main()
