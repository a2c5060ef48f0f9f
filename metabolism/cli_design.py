"""The command ``metabolism design``: power, assurance and overstatement of a trial design, as table and heat map."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.cli_common import add_model_options, chosen_model, progress_bar
from metabolism.errors import InvalidValue

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def add_commands(commands: Any) -> None:
    """Add the subcommand, which carries the function that runs it as ``action``."""
    parser = commands.add_parser("design", help="power, assurance and overstatement of a trial design")
    parser.add_argument("name", help="a shipped design (jetals, e0761, ...) or a .toml file")
    parser.add_argument("--effect", default="0.25,0.35,0.425", help="true reductions of the loss rate, with commas")
    parser.add_argument("--prior", default="0.27,0.10", help="mean,SD of the effect for the assurance, or none")
    parser.add_argument("--patients", help="numbers randomised")
    parser.add_argument("--weeks", help="lengths of treatment [weeks]")
    parser.add_argument("--run-in", dest="run_in", help="windows such as 1-2,1-4,none [points]")
    parser.add_argument("--onset-limit", dest="onset_limit", help="longest times since onset [months]")
    parser.add_argument("--hcy-min", dest="hcy_min", help="smallest resting homocysteine [uM]")
    parser.add_argument("--dose", help='amounts, e.g. "25 mg,50 mg"')
    parser.add_argument("--interval", help='intervals, e.g. "3.5 d,7 d"')
    parser.add_argument("--replicates", type=int, default=400, help="trials per row (default: 400)")
    parser.add_argument(
        "--out", default="results", help="folder for results (default: results); makes the study resumable"
    )
    parser.add_argument(
        "--bodies", type=int, default=256, help="virtual bodies run through the coupled model (default: 256)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    add_model_options(parser)
    parser.set_defaults(action=_design)


def _design(arguments: argparse.Namespace) -> int:
    """Carry the command out; the model is taken as patients' unless it already has a set for them."""
    from metabolism.design import read_design
    from metabolism.plotting import save_figure
    from metabolism.power import power_table
    from metabolism.result import write_atomically

    if min(arguments.replicates, arguments.workers, arguments.bodies) < 1 or arguments.seed < 0:
        raise InvalidValue("--replicates, --bodies and --workers must be at least 1, --seed 0 or more.")
    design = read_design(arguments.name)
    effects = _values("--effect", arguments.effect, float)
    prior = None
    if arguments.prior != "none":
        pair = _values("--prior", arguments.prior, float)
        if len(pair) != 2 or pair[1] <= 0:
            raise InvalidValue(f"--prior '{arguments.prior}' must read MEAN,SD with an SD above 0, or none.")
        prior = (pair[0], pair[1])
    kinds: dict[str, Callable[[str], Any]] = {
        "patients": int, "weeks": float, "run_in": _window, "onset_limit": float, "hcy_min": float, "dose": str, "interval": str,
    }  # fmt: skip
    choices = {
        k: _values(f"--{k.replace('_', '-')}", v, kind) for k, kind in kinds.items() if (v := getattr(arguments, k))
    }
    rows = len(effects) + (prior is not None)
    for values in choices.values():
        rows *= len(values)
    folder = Path(arguments.out) / f"design_{design.id}"
    model = chosen_model(arguments)
    if "als_patient" not in model.sets:
        model = model.with_set("als_patient")
    with progress_bar() as begin:
        tick = begin(f"trials of {design.id}", rows * arguments.replicates)
        table = power_table(
            model, design, effects, prior=prior, choices=choices, replicates=arguments.replicates, seed=arguments.seed,
            size=arguments.bodies, folder=folder / "replicates", workers=arguments.workers, progress=tick,
        )  # fmt: skip
    write_atomically(folder / "power.csv", lambda part: table.to_csv(part, index=False))
    for name, figure in figures(table, design.title).items():
        save_figure(figure, folder / name)
    print(table.to_string(index=False, float_format=lambda v: f"{v:.3g}"))
    print(f"\ntable and figures: {folder}")
    return 0


def _window(text: str) -> Any:
    if text == "none":
        return "none"
    low, separator, high = text.partition("-")
    if not separator:
        raise ValueError(f"'{text}' must read LOW-HIGH or none")
    return int(low), int(high)


def _values(option: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise InvalidValue(f"{option} '{text}' cannot be read: {error}.") from None


def figures(table: pd.DataFrame, title: str) -> dict[str, Figure]:
    """Draw power against effect for each design, and a heat map of effect by design."""
    from metabolism.plotting import COLOURS, new_figure

    fixed = table[~table["effect"].str.startswith("N(")].assign(effect=lambda t: t["effect"].astype(float) * 100)
    varying = [c for c in ("patients", "weeks", "run_in", "onset_limit", "hcy_min", "dose", "interval") if c in table and (table[c].nunique() > 1 or c == "patients")]  # fmt: skip
    label = fixed[varying].astype(str).agg(", ".join, axis=1)
    drawn = {}
    figure, axes = new_figure(width=7.4, height=4.2)
    palette: Sequence[str] = list(COLOURS.values())
    for i, (text, part) in enumerate(fixed.groupby(label, sort=False)):
        colour = palette[i % len(palette)]
        part = part.sort_values("effect")
        axes.errorbar(part["effect"], part["power"] * 100, part["Monte-Carlo SE"] * 196, color=colour, marker="o", capsize=3, label=str(text))  # fmt: skip
    axes.axhline(80, color=COLOURS["grey"], linestyle="--", linewidth=1)
    axes.set_ylim(0, 102)
    axes.set_xlabel("true reduction of the motor-unit loss rate [%]")
    axes.set_ylabel("power [%]")
    axes.set_title(f"{title}\nbars: 95 % Monte-Carlo interval; dashed: 80 %", fontsize=10)
    axes.legend(title=", ".join(v.replace("_", " ") for v in varying), fontsize=8, title_fontsize=8)
    drawn["power_curves"] = figure
    wide = fixed.assign(design=label).pivot_table(index="design", columns="effect", values="power", sort=False)
    figure, axes = new_figure(width=7.4, height=1.6 + 0.45 * len(wide))
    image = axes.imshow(wide.to_numpy() * 100, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    for (i, j), value in ((index, wide.to_numpy()[index] * 100) for index in _indices(wide.shape)):
        axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value < 55 else "black", fontsize=9)
    axes.set_xticks(range(wide.shape[1]), [f"{c:g}" for c in wide.columns])
    axes.set_yticks(range(wide.shape[0]), list(wide.index))
    axes.set_xlabel("true reduction of the motor-unit loss rate [%]")
    axes.set_ylabel(", ".join(v.replace("_", " ") for v in varying))
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="power [%]")
    drawn["power_heat_map"] = figure
    return drawn


def _indices(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]
