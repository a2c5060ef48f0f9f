"""Pictures of the court: how each mechanism meets each fact, and the weights of families under every doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metabolism.court.judgement import FAMILIES
from metabolism.plotting import COLOURS, new_figure
from metabolism.units import in_words, minus

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_COLOUR = dict(zip(FAMILIES, ("grey", "amber", "blue", "green", "pink"), strict=True))


def fact_figure(ranking: pd.DataFrame, by_fact: pd.DataFrame) -> Figure:
    """Draw log predictive densities against no effect; both tables are those of `Hearing`."""
    names, facts = list(ranking["mechanism"]), list(dict.fromkeys(by_fact["fact"]))
    wide = by_fact.pivot(index="mechanism", columns="fact", values="against no effect").loc[names, facts]
    scored = by_fact.drop_duplicates("fact").set_index("fact")["scored"]
    figure, axes = new_figure(width=10.4, height=8.2)
    image = axes.imshow(wide.to_numpy(), cmap="RdBu", vmin=-3, vmax=3, aspect="auto")
    for (i, j), v in np.ndenumerate(wide.to_numpy(dtype=float)):
        text = minus(f"{v:+.1f}") if abs(v) >= 0.05 else "0"
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if abs(v) > 2 else COLOURS["black"])
    labels = [in_words(f).replace(" ", "\n") + ("" if scored[f] == "yes" else "*") for f in facts]
    axes.set_xticks(range(len(facts)), labels, fontsize=8)
    shown = [f"{in_words(n)}  ({100 * w:.1f} %)" for n, w in zip(names, ranking["posterior weight"], strict=True)]
    axes.set_yticks(range(len(names)), shown, fontsize=8.5)
    for tick, kin in zip(axes.get_yticklabels(), ranking["family"], strict=True):
        tick.set_color(COLOURS[_COLOUR[kin]])
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, shrink=0.6, label="log predictive density, against no effect")
    axes.set_title(
        "How each mechanism meets each fact alone; posterior weight in brackets, colour by family\n"
        "* shown, not scored: contained in other rows",
        fontsize=10,
    )
    return figure


def doubt_figure(sensitivity: pd.DataFrame) -> Figure:
    """Draw the weights of the families under every variant of `doubts`."""
    wide = sensitivity.pivot(index="variant", columns="family", values="posterior weight")
    wide = wide.loc[list(dict.fromkeys(sensitivity["variant"]))]
    figure, axes = new_figure(width=8.8, height=8.4)
    y, left = np.arange(len(wide))[::-1], np.zeros(len(wide))
    for kin, colour in _COLOUR.items():
        share = 100 * wide[kin].to_numpy(dtype=float)
        axes.barh(y, share, left=left, color=COLOURS[colour], edgecolor="white", linewidth=0.6, label=kin)
        left = left + share
    axes.set(xlim=(0, 100), ylim=(-0.7, len(wide) - 0.3), xlabel="posterior weight of the family [%]")
    axes.set_yticks(y, [in_words(v) for v in wide.index], fontsize=8.5)
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8.5, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    return figure
