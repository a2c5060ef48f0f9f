"""The flux map: one drawing of the whole system, arrow width by flux, colour by change against a reference.

Positions come from ``models/flux_map.toml``. The drawing is plain SVG without scripts, fonts or links, so that the
report, the explorer and the site can all embed it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from metabolism.data import models_dir
from metabolism.errors import ModelError
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
    plan = layout()
    scale = _scales(plan, values, reference)
    parts = [_head(plan, title, against, reference is not None)]
    for region in plan.regions:
        x, y, w, h = region["box"]
        stroke = "none" if region.get("join") else "#d5d9de"
        parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="12" fill="#f5f7f9" stroke="{stroke}"/>')
        tx, ty = region.get("label_at", (x + 10, y + h - 8))
        parts.append(f'<text x="{tx}" y="{ty}" class="r">{escape(region["label"])}</text>')
    for path in plan.influences:
        points = _course(plan, path)
        parts.append(f'<path d="{_d(points)}" class="i"/>{_tip(points, 3, "#9a9a9a")}')
    for route in plan.routes.values():
        if route.reaction in values:
            parts.append(_arrow(plan, route, values, reference, scale[route.network]))
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


def _scales(plan: Layout, values: Mapping[str, float], reference: Mapping[str, float] | None) -> dict[str, float]:
    """Largest flux of each network, in the values and the reference [µmol/h]."""
    found = dict.fromkeys(plan.networks, 0.0)
    for source in (values, reference or {}):
        for key, route in plan.routes.items():
            found[route.network] = max(found[route.network], abs(source.get(key, 0.0)))
    return found


def _width(value: float, largest: float) -> float:
    """Width of an arrow [px]: `WIDEST` for the largest flux of its network, `PER_DECADE` less for each tenth."""
    if abs(value) <= NOTHING * largest:
        return NARROWEST
    return max(NARROWEST, WIDEST + PER_DECADE * math.log10(abs(value) / largest))


def _place(plan: Layout, step: str | Point) -> Point:
    return plan.nodes[step].at if isinstance(step, str) else step


def _course(plan: Layout, path: Sequence[str | Point]) -> list[Point]:
    """Points along a path, from the rim of its first node to the rim of its last."""
    corners = [_place(plan, s) for s in path]
    if len(corners) == 3:
        # one point on the way: a curve through it
        (x0, y0), (xm, ym), (x2, y2) = corners
        xc, yc = 2 * xm - (x0 + x2) / 2, 2 * ym - (y0 + y2) / 2
        steps = [i / 20 for i in range(21)]
        points = [
            (
                (1 - t) ** 2 * x0 + 2 * t * (1 - t) * xc + t * t * x2,
                (1 - t) ** 2 * y0 + 2 * t * (1 - t) * yc + t * t * y2,
            )
            for t in steps
        ]
    else:
        points = _straight(corners)
    for end, outwards in ((path[0], False), (path[-1], True)):
        if isinstance(end, str):
            node = plan.nodes[end]
            ordered = points[::-1] if outwards else points
            ordered = _leave(node, ordered)
            points = ordered[::-1] if outwards else ordered
    return points


def _straight(corners: Sequence[Point]) -> list[Point]:
    points: list[Point] = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        count = max(2, int(math.dist((x0, y0), (x1, y1)) / 6))
        points += [(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(count)]
    return [*points, corners[-1]]


def _leave(node: Node, points: list[Point]) -> list[Point]:
    (x, y), (w, h) = node.at, node.half
    outside = [i for i, (px, py) in enumerate(points) if ((px - x) / (w + 3)) ** 4 + ((py - y) / (h + 3)) ** 4 > 1]
    return points[outside[0] :] if outside and len(points) - outside[0] > 1 else points


def _kept(points: Sequence[Point]) -> list[Point]:
    """Points of a course without those inside a straight line."""
    kept = [points[0]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        bend = (here[0] - before[0]) * (after[1] - here[1]) - (here[1] - before[1]) * (after[0] - here[0])
        if abs(bend) > 1e-6:
            kept.append(here)
    return [*kept, points[-1]]


def _d(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _kept(points))


def _heading(points: Sequence[Point], size: float) -> Point:
    """Direction of a course over its last `size` pixels."""
    end = points[-1]
    back = next((p for p in reversed(points) if math.dist(p, end) >= size), points[0])
    length = math.dist(back, end) or 1.0
    return (end[0] - back[0]) / length, (end[1] - back[1]) / length


def _tip(points: Sequence[Point], width: float, colour: str) -> str:
    size = 6 + 1.1 * width
    (xe, ye), (ux, uy) = points[-1], _heading(points, size)
    bx, by, half = xe - size * ux, ye - size * uy, 3 + 0.62 * width
    corners = [(xe, ye), (bx - half * uy, by + half * ux), (bx + half * uy, by - half * ux)]
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}" fill="{colour}"/>'


def _arrow(
    plan: Layout, route: Route, values: Mapping[str, float], reference: Mapping[str, float] | None, largest: float
) -> str:
    value = values[route.reaction]
    base = reference.get(route.reaction) if reference is not None else None
    colour, words = change_words(value, base, largest)
    width, still = _width(value, largest), abs(value) <= NOTHING * largest
    text = f"{route.reaction}: {value:.3g} µmol/h" + (f", {words}" if words else "")
    parts = [f'<g data-reaction="{route.reaction}"><title>{escape(text)}</title>']
    for i, path in enumerate(route.paths):
        points = _course(plan, path)
        if value < 0:
            points.reverse()
        thin = width if i == 0 else max(NARROWEST, 0.6 * width)
        size = 6 + 1.1 * thin
        # the line stops inside its own arrowhead, so that a wide one does not blunt the tip, and not before it
        (xe, ye), (ux, uy) = points[-1], _heading(points, size)
        short = [p for p in points if math.dist(p, points[-1]) > size] or points[:1]
        line = [*short, (xe - 0.6 * size * ux, ye - 0.6 * size * uy)]
        dash = ' stroke-dasharray="2 4"' if still else ""
        parts.append(f'<path d="{_d(line)}" fill="none" stroke="{colour}" stroke-width="{thin:.1f}"{dash}/>')
        parts.append(_tip(points, thin, colour))
    if route.label and route.at:
        parts.append(f'<text x="{route.at[0]}" y="{route.at[1]}" class="e">{escape(route.label)}</text>')
    return "".join([*parts, "</g>"])


def _pill(
    node: Node, values: Mapping[str, float], reference: Mapping[str, float] | None, units: Mapping[str, str]
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


def _head(plan: Layout, title: str, against: str, compared: bool) -> str:
    width, height = plan.size[0], plan.size[1] + 120
    text = f"{title}. Arrow width: flux." + (f" Colour: change against {against}." if compared else "")
    style = (
        ".fluxmap text{font-family:'DejaVu Sans',system-ui,sans-serif;fill:#222}"
        ".fluxmap .n{font-size:14px;text-anchor:middle}.fluxmap .k{font-weight:700}"
        ".fluxmap .v{font-size:12px;text-anchor:middle;fill:#444}"
        ".fluxmap .e{font-size:13px;text-anchor:middle;font-weight:600;paint-order:stroke;"
        "stroke:#f5f7f9;stroke-width:4px}"
        ".fluxmap .r{font-size:14px;fill:#5b5b5b}"
        ".fluxmap .i{fill:none;stroke:#9a9a9a;stroke-width:1.3;stroke-dasharray:3 5}"
    )
    return (
        f'<svg class="fluxmap" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(text)}"><title>{escape(text)}</title><style>{style}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    )


def _legend(plan: Layout, scale: Mapping[str, float], against: str, compared: bool) -> str:
    y = plan.size[1] + 18
    parts = [
        f'<text x="20" y="{y}" class="r">Arrow width: flux, each network on its own logarithmic scale; '
        "widest arrow [µmol/h]:</text>"
    ]
    text = "; ".join(f"{name} {_short(scale[key])}" for key, name in plan.networks.items())
    parts.append(f'<text x="20" y="{y + 22}" class="r">{escape(text)}</text>')
    for i, share in enumerate((1, 0.1, 0.01, 0.001)):
        x, w = 20 + 150 * i, _width(share, 1.0)
        parts.append(f'<path d="M{x} {y + 46}H{x + 40}" stroke="{COLOURS["grey"]}" stroke-width="{w:.1f}"/>')
        words = "widest" if share == 1 else f"1/{round(1 / share)} of it"
        parts.append(f'<text x="{x + 48}" y="{y + 51}" class="r">{words}</text>')
    parts.append(
        f'<path d="M620 {y + 46}H660" class="i"/><text x="668" y="{y + 51}" class="r">influence, no flux</text>'
    )
    if compared:
        parts.append(f'<text x="20" y="{y + 82}" class="r">Colour, against {escape(against)}:</text>')
        for i, (_, colour, words) in enumerate(STEPS):
            x = 420 + 215 * i
            parts.append(f'<rect x="{x}" y="{y + 70}" width="26" height="14" fill="{colour}"/>')
            parts.append(f'<text x="{x + 34}" y="{y + 82}" class="r">{words}</text>')
    return "".join(parts)


Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """A place on the map: a species, or (status) a quantity that no reaction changes."""

    id: str
    at: Point
    label: str
    status: bool = False
    key: bool = False

    @property
    def half(self) -> Point:
        """Half width and half height of its pill [px]."""
        return max(38.0, 4.4 * len(self.label) + 9), 19.0


@dataclass(frozen=True)
class Route:
    """The drawn course of one reaction: one polyline of node ids and points per pair it converts."""

    reaction: str
    network: str
    paths: tuple[tuple[str | Point, ...], ...]
    label: str = ""
    at: Point | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything of ``models/flux_map.toml``.

    Attributes
    ----------
    size : tuple of float
        Width and height of the canvas [px].
    regions : list of dict
        Boxes with label.
    networks : dict of str to str
        Label of each group of reactions that shares one width scale.
    """

    size: Point
    regions: list[dict[str, Any]]
    nodes: dict[str, Node]
    routes: dict[str, Route]
    networks: dict[str, str]
    influences: list[tuple[str | Point, ...]]


def _path(text: str, nodes: Mapping[str, Node]) -> tuple[str | Point, ...]:
    steps: list[str | Point] = []
    for word in (w.strip() for w in text.split(">")):
        if word in nodes:
            steps.append(word)
            continue
        x, comma, y = word.partition(",")
        if not comma:
            raise ModelError(f"flux_map.toml: '{word}' in '{text}' is neither a node nor a point x,y.")
        steps.append((float(x), float(y)))
    return tuple(steps)


@cache
def layout() -> Layout:
    """Read ``models/flux_map.toml``.

    Raises
    ------
    ModelError
        If the file is no TOML, or a path names something that is neither a node nor a point.
    """
    with (models_dir() / "flux_map.toml").open("rb") as handle:
        try:
            raw = tomllib.load(handle)
        except tomllib.TOMLDecodeError as error:
            raise ModelError(f"flux_map.toml cannot be read: {error}.") from None
    nodes = {
        k: Node(k, (n["at"][0], n["at"][1]), n["label"], n.get("status", False), n.get("key", False))
        for k, n in raw["nodes"].items()
    }
    routes = {}
    for network, group in raw["networks"].items():
        for key, entry in group["routes"].items():
            at = entry.get("at")
            paths = tuple(_path(p, nodes) for p in entry["path"])
            routes[key] = Route(key, network, paths, entry.get("label", ""), tuple(at) if at else None)
    return Layout(
        (raw["canvas"]["width"], raw["canvas"]["height"]),
        list(raw["regions"].values()),
        nodes,
        routes,
        {k: g["label"] for k, g in raw["networks"].items()},
        [_path(p, nodes) for p in raw["influences"].values()],
    )


def geometry() -> dict[str, Any]:
    """Return everything another drawer of the map needs as plain numbers and words: courses, boxes, scales, colours."""
    plan = layout()

    def course(path: Sequence[str | Point]) -> list[float]:
        return [round(v, 1) for point in _kept(_course(plan, path)) for v in point]

    return {
        "size": plan.size,
        "regions": plan.regions,
        "networks": plan.networks,
        "nodes": [
            {"id": n.id, "at": n.at, "half": n.half, "label": n.label, "status": n.status, "key": n.key}
            for n in plan.nodes.values()
        ],
        "routes": [
            {
                "id": r.reaction,
                "network": r.network,
                "label": r.label,
                "at": r.at,
                "paths": [course(p) for p in r.paths],
            }
            for r in plan.routes.values()
        ],
        "influences": [course(path) for path in plan.influences],
        "steps": [[limit if math.isfinite(limit) else None, colour, words] for limit, colour, words in STEPS],
        "widths": {"widest": WIDEST, "narrowest": NARROWEST, "decade": PER_DECADE, "nothing": NOTHING},
    }


def layout_problems(model: Model) -> list[str]:
    """List what the layout lacks for a model: reactions and states without a place, ends that contradict a reaction."""
    from metabolism.model import equations

    system, plan = equations(model), layout()
    remedy = "add it to models/flux_map.toml"
    problems = [f"reaction {r} has no place: {remedy}" for r in system.reactions if r not in plan.routes]
    problems += [f"{s} has no place: {remedy}" for s in system.states if s not in plan.nodes]
    problems += [f"route {r}: the model has no such reaction" for r in plan.routes if r not in system.reactions]
    known = {*system.states, *system.rules}
    problems += [f"node {n}: the model has no such species or quantity" for n in plan.nodes if n not in known]
    for key in plan.routes.keys() & system.reactions.keys():
        change = system.reactions[key].stoichiometry
        for path in plan.routes[key].paths:
            ends = ((path[0], -1, "starts at"), (path[-1], 1, "ends at"))
            problems += [
                f"route {key} {words} {end}, which the reaction does not {'use' if sign < 0 else 'make'}"
                for end, sign, words in ends
                if isinstance(end, str) and sign * change.get(end, 0) <= 0
            ]
    return problems
