"""Where everything stands on the flux map (``models/flux_map.toml``), and the courses of its arrows."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from metabolism.data import models_dir
from metabolism.errors import ModelError
from metabolism.model.model import Model, equations

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


def layout_problems(model: Model) -> list[str]:
    """List what the layout lacks for a model: reactions and states without a place, ends that contradict a reaction."""
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


def course(plan: Layout, path: Sequence[str | Point]) -> list[Point]:
    """Points along a path, from the rim of its first node to the rim of its last."""
    corners = [plan.nodes[s].at if isinstance(s, str) else s for s in path]
    if len(corners) == 3:
        # one point on the way: a curve through it
        (x0, y0), (xm, ym), (x2, y2) = corners
        xc, yc = 2 * xm - (x0 + x2) / 2, 2 * ym - (y0 + y2) / 2
        shares = [((1 - t) ** 2, 2 * t * (1 - t), t * t) for t in (i / 20 for i in range(21))]
        points = [(a * x0 + b * xc + c * x2, a * y0 + b * yc + c * y2) for a, b, c in shares]
    else:
        points = _straight(corners)
    for end, way in ((path[0], 1), (path[-1], -1)):
        if isinstance(end, str):
            points = _leave(plan.nodes[end], points[::way])[::way]
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


def kept(points: Sequence[Point]) -> list[Point]:
    """Points of a course without those inside a straight line."""
    kept = [points[0]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        bend = (here[0] - before[0]) * (after[1] - here[1]) - (here[1] - before[1]) * (after[0] - here[0])
        if abs(bend) > 1e-6:
            kept.append(here)
    return [*kept, points[-1]]


def drawn(points: Sequence[Point]) -> str:
    """Course as the data of an SVG path."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in kept(points))


def heading(points: Sequence[Point], size: float) -> Point:
    """Direction of a course over its last `size` pixels."""
    end = points[-1]
    back = next((p for p in reversed(points) if math.dist(p, end) >= size), points[0])
    length = math.dist(back, end) or 1.0
    return (end[0] - back[0]) / length, (end[1] - back[1]) / length
