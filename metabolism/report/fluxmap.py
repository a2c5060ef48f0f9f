"""The flux map: one drawing of the whole system, arrow width by flux, colour by change against a reference.

Positions come from ``models/flux_map.toml``. The drawing is plain SVG without scripts, fonts or links, so that the
report, the explorer and the site can all embed it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from metabolism.model import positions
from metabolism.plotting import COLOURS
from metabolism.units import label as unit_label

if TYPE_CHECKING:
    from metabolism.model import Model
    from metabolism.simulation import Result


#: (largest ratio flux / reference, colour, words): steps of the colour scale.
STEPS = (
    (0.5, COLOURS["blue"], "less than half"),
    (0.9, COLOURS["sky"], "10 to 50 % less"),
    (1.1, COLOURS["grey"], "within 10 %"),
    (2.0, COLOURS["amber"], "10 to 100 % more"),
    (math.inf, COLOURS["orange"], "more than twice, or new"),
)

WIDEST, NARROWEST, PER_DECADE = 10.0, 1.2, 2.6

#: A flux below this share of the largest in its network counts as none.
NOTHING = 1e-9


def mean_fluxes(result: Result, begin: float, end: float, patient: int | None = None) -> dict[str, float]:
    """Return the time average of every output between two times [h].

    Parameters
    ----------
    result : Result
        Asked for reactions and species as outputs.
    begin, end : float
        Window [h]; with one output time inside it, the value there.
    patient : int, optional
        Which patient of a result with a patient dimension.
    """
    import numpy as np

    # plain arrays: building a labelled array per reaction would take most of the time
    variables = result.data.variables
    t = variables["time"].values
    inside = np.flatnonzero((t >= begin - 1e-9) & (t <= end + 1e-9))
    names = result.outputs
    y = np.array(
        [variables[n].values[inside] if patient is None else variables[n].values[patient, inside] for n in names]
    )
    if len(inside) > 1:
        y = np.trapezoid(y, t[inside], axis=1) / (t[inside[-1]] - t[inside[0]])
    return dict(zip(names, y.ravel().tolist(), strict=True))


def change_words(value: float, reference: float | None, largest: float) -> tuple[str, str]:
    """Return (colour, words) for a flux beside its reference [same unit]; `largest` decides what counts as none."""
    if abs(value) <= NOTHING * largest:
        return "#c9c9c9", "no flux"
    if reference is None:
        return COLOURS["grey"], ""
    if abs(reference) <= NOTHING * largest:
        return STEPS[-1][1], "none in the reference"
    ratio = value / reference
    if ratio < 0:
        return STEPS[-1][1], "opposite direction to the reference"
    colour = next(c for limit, c, _ in STEPS if ratio <= limit)
    return colour, f"{100 * (ratio - 1):+.0f} % against the reference"


def draw(
    values: Mapping[str, float],
    reference: Mapping[str, float] | None = None,
    *,
    units: Mapping[str, str],
    title: str = "Flux map",
    against: str = "the reference",
) -> str:
    """Return the map as one SVG element.

    Parameters
    ----------
    values : mapping of str to float
        Flux of each reaction [µmol/h] and level of each species [its unit], by id.
    reference : mapping of str to float, optional
        The same at the state compared with; without it everything is grey.
    units : mapping of str to str
        Unit id of each id, as in `Equations.units`.
    title, against : str
        What the values are, and what they are compared with.
    """
    plan = positions.layout()
    scale = _scales(plan, values, reference)
    parts = [_head(plan, title, against, reference is not None)]
    for region in plan.regions:
        x, y, w, h = region["box"]
        stroke = "none" if region.get("join") else "#d5d9de"
        parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="12" fill="#f5f7f9" stroke="{stroke}"/>')
        tx, ty = region.get("label_at", (x + 10, y + h - 8))
        parts.append(f'<text x="{tx}" y="{ty}" class="r">{escape(region["label"])}</text>')
    for path in plan.influences:
        points = positions.course(plan, path)
        parts.append(f'<path d="{positions.drawn(points)}" class="i"/>{_tip(points, 3, "#9a9a9a")}')
    for route in plan.routes.values():
        if route.reaction in values:
            parts.append(_arrow(plan, route, values, reference, scale[route.network]))
    # names above every arrow, so that none runs through them
    for route in plan.routes.values():
        if route.label and route.at and route.reaction in values:
            parts.append(f'<text x="{route.at[0]}" y="{route.at[1]}" class="e">{escape(route.label)}</text>')
    for node in plan.nodes.values():
        parts.append(_pill(node, values, reference, units))
    missing = [r for r in values if units.get(r) == "umol_per_h" and r.isupper() and r not in plan.routes]
    if missing:
        parts.append(f'<text x="20" y="200" class="r">not drawn: {escape(", ".join(missing))}</text>')
    parts.append(_legend(plan, scale, against, reference is not None))
    parts.append("</svg>")
    return "".join(parts)


def resting_map(model: Model, reference: Model, title: str, against: str) -> str:
    """Return the map of one model at rest, coloured by its change against another at rest."""
    from metabolism.model import equations
    from metabolism.simulation import steady_state

    values, base = steady_state(model).values, steady_state(reference).values
    return draw(values, base, units=equations(model).units, title=title, against=against)


def _scales(
    plan: positions.Layout, values: Mapping[str, float], reference: Mapping[str, float] | None
) -> dict[str, float]:
    """Largest flux of each network, in the values and the reference [µmol/h]."""
    largest = dict.fromkeys(plan.networks, 0.0)
    for source in (values, reference or {}):
        for key, route in plan.routes.items():
            largest[route.network] = max(largest[route.network], abs(source.get(key, 0.0)))
    return largest


def _width(value: float, largest: float) -> float:
    """Width of an arrow [px]: `WIDEST` for the largest flux of its network, `PER_DECADE` less for each tenth."""
    if abs(value) <= NOTHING * largest:
        return NARROWEST
    return max(NARROWEST, WIDEST + PER_DECADE * math.log10(abs(value) / largest))


def _tip(points: Sequence[positions.Point], width: float, colour: str) -> str:
    size = 6 + 1.1 * width
    (xe, ye), (ux, uy) = points[-1], positions.heading(points, size)
    bx, by, half = xe - size * ux, ye - size * uy, 3 + 0.62 * width
    corners = [(xe, ye), (bx - half * uy, by + half * ux), (bx + half * uy, by - half * ux)]
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}" fill="{colour}"/>'


def _arrow(
    plan: positions.Layout,
    route: positions.Route,
    values: Mapping[str, float],
    reference: Mapping[str, float] | None,
    largest: float,
) -> str:
    value = values[route.reaction]
    base = reference.get(route.reaction) if reference is not None else None
    colour, words = change_words(value, base, largest)
    width, still = _width(value, largest), abs(value) <= NOTHING * largest
    text = f"{route.reaction}: {value:.3g} µmol/h" + (f", {words}" if words else "")
    parts = [f'<g data-reaction="{route.reaction}"><title>{escape(text)}</title>']
    for i, path in enumerate(route.paths):
        points = positions.course(plan, path)
        if value < 0:
            points.reverse()
        thin = width if i == 0 else max(NARROWEST, 0.6 * width)
        size = 6 + 1.1 * thin
        # the line stops inside its own arrowhead, so that a wide one does not blunt the tip, and not before it
        (xe, ye), (ux, uy) = points[-1], positions.heading(points, size)
        short = [p for p in points if math.dist(p, points[-1]) > size] or points[:1]
        line = [*short, (xe - 0.6 * size * ux, ye - 0.6 * size * uy)]
        dash = ' stroke-dasharray="2 4"' if still else ""
        parts.append(
            f'<path d="{positions.drawn(line)}" fill="none" stroke="{colour}" stroke-width="{thin:.1f}"{dash}/>'
        )
        parts.append(_tip(points, thin, colour))
    return "".join([*parts, "</g>"])


def _pill(
    node: positions.Node, values: Mapping[str, float], reference: Mapping[str, float] | None, units: Mapping[str, str]
) -> str:
    (x, y), (w, h) = node.at, node.half
    value = values.get(node.id)
    text, edge, words = "", "#8a8f96", ""
    if value is not None:
        text = _level(value, units.get(node.id, ""))
        if reference is not None and node.id in reference:
            edge, words = change_words(value, reference[node.id], max(abs(value), abs(reference[node.id]), 1e-30))
            edge = "#8a8f96" if words == "no flux" else edge
            words = "" if words == "no flux" else words
    shape = "6" if node.status else f"{h:.0f}"
    heavy = 3 if edge not in ("#8a8f96", COLOURS["grey"]) else 1.4
    dash = ' stroke-dasharray="5 3"' if node.status else ""
    name = f"{node.id}: {text}" + (f", {words}" if words else "")
    lines = [
        f'<g data-node="{node.id}"><title>{escape(name)}</title>',
        f'<rect x="{x - w:.1f}" y="{y - h:.1f}" width="{2 * w:.1f}" height="{2 * h:.1f}" rx="{shape}" fill="#fff" '
        f'stroke="{edge}" stroke-width="{heavy}"{dash}/>',
        f'<text x="{x}" y="{y - 1 if text else y + 5}" class="n{" k" if node.key else ""}">{escape(node.label)}</text>',
    ]
    if text:
        lines.append(f'<text x="{x}" y="{y + 13}" class="v">{escape(text)}</text>')
    return "".join([*lines, "</g>"])


def _short(value: float) -> str:
    """Print with two significant digits and no exponent where it can be helped."""
    return f"{value:.2g}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{float(f'{value:.2g}'):g}"


def _level(value: float, unit: str) -> str:
    """Print a level with the prefix that keeps it short."""
    small = {"uM": ("nM", "pM"), "umol": ("nmol", "pmol")}.get(unit)
    if small and 0 < abs(value) < 0.1:
        return f"{value * 1e6:.3g} {small[1]}" if abs(value) < 1e-3 else f"{value * 1e3:.3g} {small[0]}"
    return f"{value:.3g} {unit_label(unit)}".rstrip()


def _head(plan: positions.Layout, title: str, against: str, compared: bool) -> str:
    width, height = plan.size[0], plan.size[1] + 120
    text = f"{title}. Arrow width: flux." + (f" Colour: change against {against}." if compared else "")
    style = (
        ".fluxmap text{font-family:'DejaVu Sans',system-ui,sans-serif;fill:#222}"
        ".fluxmap .n{font-size:14px;text-anchor:middle}.fluxmap .k{font-weight:700}"
        ".fluxmap .v{font-size:12px;text-anchor:middle;fill:#444}"
        ".fluxmap .e{font-size:13px;text-anchor:middle;font-weight:600;paint-order:stroke;"
        "stroke:#f5f7f9;stroke-width:5px;stroke-linejoin:round}"
        ".fluxmap .r{font-size:14px;fill:#5b5b5b}"
        ".fluxmap .i{fill:none;stroke:#9a9a9a;stroke-width:1.3;stroke-dasharray:3 5}"
    )
    return (
        f'<svg class="fluxmap" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(text)}"><title>{escape(text)}</title><style>{style}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    )


def _legend(plan: positions.Layout, scale: Mapping[str, float], against: str, compared: bool) -> str:
    y = plan.size[1] + 18
    said = "Arrow width: flux, each network on its own logarithmic scale; widest arrow [µmol/h]:"
    text = "; ".join(f"{name} {_short(scale[key])}" for key, name in plan.networks.items())
    parts = [f'<text x="20" y="{at}" class="r">{escape(t)}</text>' for at, t in ((y, said), (y + 22, text))]
    for i, share in enumerate((1, 0.1, 0.01, 0.001)):
        x, w = 20 + 150 * i, _width(share, 1.0)
        parts.append(f'<path d="M{x} {y + 46}H{x + 40}" stroke="{COLOURS["grey"]}" stroke-width="{w:.1f}"/>')
        words = "widest" if share == 1 else f"1/{round(1 / share)} of it"
        parts.append(f'<text x="{x + 48}" y="{y + 51}" class="r">{words}</text>')
    parts.append(f'<path d="M620 {y + 46}H660" class="i"/>')
    parts.append(f'<text x="668" y="{y + 51}" class="r">influence, no flux</text>')
    if compared:
        parts.append(f'<text x="20" y="{y + 82}" class="r">Colour, against {escape(against)}:</text>')
        for i, (_, colour, words) in enumerate(STEPS):
            x = 420 + 215 * i
            parts.append(f'<rect x="{x}" y="{y + 70}" width="26" height="14" fill="{colour}"/>')
            parts.append(f'<text x="{x + 34}" y="{y + 82}" class="r">{words}</text>')
    return "".join(parts)


def geometry() -> dict[str, Any]:
    """Return everything another drawer of the map needs as plain numbers and words: courses, boxes, scales, colours."""
    plan = positions.layout()

    def rounded(path: Sequence[str | positions.Point]) -> list[float]:
        return [round(v, 1) for point in positions.kept(positions.course(plan, path)) for v in point]

    node_parts, route_parts = ("id", "at", "half", "label", "status", "key"), ("network", "label", "at")
    return {
        "size": plan.size,
        "regions": plan.regions,
        "networks": plan.networks,
        "nodes": [{k: getattr(n, k) for k in node_parts} for n in plan.nodes.values()],
        "routes": [
            {"id": r.reaction, **{k: getattr(r, k) for k in route_parts}, "paths": [*map(rounded, r.paths)]}
            for r in plan.routes.values()
        ],
        "influences": [rounded(path) for path in plan.influences],
        "steps": [[limit if math.isfinite(limit) else None, colour, words] for limit, colour, words in STEPS],
        "widths": {"widest": WIDEST, "narrowest": NARROWEST, "decade": PER_DECADE, "nothing": NOTHING},
    }
