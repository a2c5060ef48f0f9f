"""Type-I error of every analysis by simulation; writes ``benchmarks/analyses.csv`` and its table in the docs.

Trials in which the active arm loses motor units as fast as control. Three designs have every analysis that they allow:
JETALS as it was, with a marker; JETALS with leavers (6 % a month); and 78 weeks in which many die, where analyses that
give the dead a score are refused. The others are designs in calendar time as shipped, which decide by rules of their
own: there a rejection is benefit shown, one-sided.

    nice python benchmarks/analyses.py --out results/analyses     # resumes; 25 minutes of one core
    python benchmarks/analyses.py --out results/analyses --design JETALS     # one design; its rows are replaced
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

import metabolism as mb
from metabolism.trials import ANALYSES, Arm, Design, Marker, make_pool, read_design, replicate, wilson

SEED, BODIES, TRIALS = 20, 256, 1000

#: Analyses that give the dead a score: those refused where many die.
SCORED = ("mmrm", "proportional", "jump_to_reference", "copy_reference", "copy_increments")

TABLE = Path(__file__).with_suffix(".csv")
PAGE = TABLE.parent.parent / "docs" / "virtual_trials.md"


def designs() -> dict[str, tuple[Design, tuple[str, ...]]]:
    """Designs by name, with the analyses that each allows; in calendar time its primary one."""
    arms = (Arm("placebo"), Arm("active", loss_reduction=0.3))
    base = read_design("jetals").changed(arms=arms)
    died = base.changed(visits=(13.0, 26.0, 39.0, 52.0, 78.0), drop_out=0.01, strata=("onset",))
    timed = {name: read_design(name) for name in ("nfl_gate", "magnet", "adaptive_enrichment")}
    return {
        "JETALS": (base.changed(marker=Marker()), tuple(ANALYSES)),
        "JETALS with leavers": (base.changed(drop_out=0.06), (*SCORED, "ancova", "slope", "joint_rate")),
        "78 weeks": (died, tuple(a for a in ANALYSES if a not in (*SCORED, "responder", "nfl"))),
        **{name: (one, (one.primary,)) for name, one in timed.items()},
    }


def rows(name: str, design: Design, analyses: tuple[str, ...], folder: Path) -> list[dict[str, object]]:
    """Run one design without an effect and count rejections."""
    pool = make_pool(mb.load().with_set("als_patient"), design, 0.0, size=BODIES, seed=1)
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        print(f"{name}: {done} of {TRIALS}", flush=True)

    part = folder / (name.replace(" ", "_") + "_bayes" * (analyses == ("bayes_rate",)))
    found = replicate(pool, design, 0.0, TRIALS, seed=SEED, analyses=analyses, reduction=0.0, folder=part, tick=tick)
    died, table = float((found.table["events"] / found.table["randomised"]).mean()), []
    arm, control = design.active[0], design.arms[design.control].name
    for analysis in analyses:
        column = f"{analysis}:{arm} - {control}"
        value, se = (found.table[f"{column}:{c}"] for c in ("value", "se"))
        # a fit that failed rejects nothing
        shown = found.table[f"{arm}:shown"] if design.accrual else found.table[f"{column}:p"] < 0.05
        low, high = wilson(int(shown.sum()), TRIALS)
        row = {"design": name, "patients": design.patients, "analysis": analysis, "estimand": ANALYSES[analysis][0]}
        row |= {"level": 0.025 if design.accrual else 0.05, "trials": TRIALS, "failed": found.failures(analysis)}
        row |= {"rejected": int(shown.sum()), "share": float(shown.mean()), "low": low, "high": high}
        row |= {"mean estimate": value.mean(), "SD of estimate": value.std(), "mean SE": se.mean(), "died": died}
        table.append(row | {"seed": SEED, "version": mb.__version__, "date": datetime.now(UTC).date().isoformat()})
    return table


def page(text: str) -> str:
    """Return the page with its table of this campaign as the CSV file has it."""
    table = pd.read_csv(TABLE)
    cells = table.apply(lambda r: f"{100 * r['share']:.1f} ({100 * r['low']:.1f}-{100 * r['high']:.1f})", axis=1)
    cells += [f", {n} failed" if n else "" for n in table["failed"]]
    wide = table.assign(cell=cells).pivot_table("cell", "analysis", "design", aggfunc="first", sort=False).fillna("")
    lines = [["analysis", *wide.columns], ["---"] * (1 + wide.shape[1]), *([f"`{n}`", *r] for n, r in wide.iterrows())]
    few = "; ".join(
        f"{d} {', '.join(sorted(set(map(str, g))))}" for d, g in table.groupby("design", sort=False)["trials"]
    )
    drawn = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    drawn += ["", f"Rejections in % of simulated trials ({few}), with 95 % Monte-Carlo interval."]
    before, _, rest = text.partition("<!-- analyses -->\n")
    return before + "<!-- analyses -->\n" + "\n".join(drawn) + "\n<!-- end -->" + rest.partition("<!-- end -->")[2]


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where finished trials are kept")
    parser.add_argument("--design", choices=list(designs()), help="only this design; other rows stay as they are")
    given = parser.parse_args()
    old = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame({"design": []})
    parts = []
    for name, (design, analyses) in designs().items():
        if given.design in (None, name):
            # the Bayesian one costs more than all others together: apart, a second process can make it
            groups = [[a for a in analyses if (a == "bayes_rate") == slow] for slow in (False, True)]
            parts += [pd.DataFrame(rows(name, design, tuple(g), given.out)) for g in groups if g]
        else:
            parts.append(old[old["design"] == name])
    frame = pd.concat(parts)
    frame.to_csv(TABLE, index=False, float_format="%.5g", lineterminator="\n")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    print(frame.to_string())


if __name__ == "__main__":
    main()
