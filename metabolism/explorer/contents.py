"""Everything model-specific that the page holds, as one JSON object made from the model's own objects.

The page computes; this says with what: values and names, what each control changes, presets, published points, the map,
posterior draws, designs and distributions of the virtual trial. A number of the model is typed nowhere else.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from metabolism import __version__
from metabolism.dosing import Regimen, substance
from metabolism.engines import wasm_module
from metabolism.explorer.published import PROGRESSION_WEEKS, jetals, measured, published
from metabolism.explorer.words import TEXTS, control_words, preset_words
from metabolism.exports import sbml_text
from metabolism.model import Model, citation, describe, draws, equations, load, posterior_sample
from metabolism.plotting import COLOURS
from metabolism.report import geometry
from metabolism.simulation import ATOL_FRACTION
from metabolism.trials import (
    BODY,
    DISEASE,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    OWN_BASELINE,
    PLAUSIBLE,
    POOL_RTOL,
    SPREAD,
    STEP,
    Generator,
    direct_maximum,
    read_design,
    scenario_maximum,
    scenarios,
    sobol_numbers,
)
from metabolism.units import label, magnitude

#: Draws of the fitted parameters that the shaded bands are made of.
DRAWS = 16


#: Bodies of the virtual trial that go through the coupled model, and seed of their latent numbers.
BODIES, SEED = 1000, 1


#: Relative tolerances: curves and bands are read by eye, and an update has to be quick. The edge of a band is then off
#: by at most 0.1 %, where the draws it is made of differ by tens of per cent.
RTOL = {"curves": 1e-5, "bands": 1e-3}


#: Largest number of rounds in the search for rest.
REST_ROUNDS = 400


#: Substances that a control gives.
GIVEN = ("methylcobalamin", "methionine")


@cache
def contents() -> tuple[dict[str, Any], bytes]:
    """Return what the page is about, ready for JSON, and the compiled model."""
    healthy = load()
    person = healthy.with_set("als_patient")
    system = equations(person)
    kernel, code = wasm_module(system)
    kernel |= {
        "scale": [person.table[s].scale for s in kernel["states"]],
        "held": list(person.not_at_rest),
        "atol_fraction": ATOL_FRACTION,
        "rest_limit": REST_ROUNDS,
    }
    generator = Generator.of(person)
    shown = {
        "version": __version__,
        "built": datetime.now(UTC).date().isoformat(),
        "model": {"id": person.id, "structure": person.structure_hash, "values": person.parameter_hash},
        "kernel": kernel,
        "rtol": RTOL,
        "hours": {"week": HOURS_PER_WEEK, "month": HOURS_PER_MONTH},
        "person": _vectors(person),
        "healthy": _vectors(healthy),
        "own_baseline": OWN_BASELINE,
        "disease": {
            "rate": "MN_k",
            "maximum": "MN_Emax",
            "elasticity": "MN_beta_hcy",
            "units": "motor_units",
            "score": "alsfrs_r",
            "gamma": generator.score_map[0],
            "half": generator.score_map[1],
            "weeks": PROGRESSION_WEEKS,
        },
        "controls": _controls(healthy, person),
        "substances": {name: {r: target for r, (target, _) in substance(name).routes.items()} for name in GIVEN},
        "presets": preset_words(),
        "curves": _curves(),
        "published": published() + measured(healthy, person, _curves()),
        "draws": _draws(healthy, person),
        "scenarios": _scenarios(person),
        "map": geometry(),
        "units": {k: label(v) for k, v in system.units.items()},
        "show": {name: describe(person, name) for name in (*system.reactions, *system.states, *system.rules)},
        "colours": COLOURS,
        "texts": TEXTS,
        "jetals": jetals(),
        "trial": _trial(generator),
        "sbml": _sbml_template(person),
    }
    return shown, code


def _vectors(model: Model) -> dict[str, list[float]]:
    states, parameters = equations(model).vectors(model.values)
    return {"states": states.tolist(), "parameters": parameters.tolist()}


def _changes(before: Model, after: Model) -> dict[str, float]:
    """Values of a model that another one changed [table units]."""
    return {k: v for k, v in after.values.items() if v != before.values[k]}


def _supply(text: str) -> dict[str, float]:
    """What a steady supply such as ``0.8 mg/d folic acid`` adds to which input [its unit]."""
    return {hold.parameter: hold.value for hold in Regimen.parse(text).holds}


def _umol(amount: str, name: str) -> float:
    return magnitude(amount, "umol", "amount", substance(name).molar_mass)


def _controls(healthy: Model, person: Model) -> list[dict[str, Any]]:
    """The controls with their words, and what each does: parameters set, doses given."""
    does: dict[str, Any] = {
        "dose": {"dose": {"substance": "methylcobalamin", "per": _umol("1 mg", "methylcobalamin")}},
        "methionine": {"once": {"substance": "methionine", "per": _umol("1 g", "methionine"), "route": "oral"}},
        "betaine": {"supply": _supply("1 g/d betaine")},
        "gfr": {"parameter": "GFR_rel", "factor": 0.01},
    }
    options: dict[str, dict[str, Any]] = {
        "b12": {"deficient": {"set": _changes(person, person.with_set("b12_deficient"))}},
        "b6": {
            "deficient": {"set": _changes(person, person.with_set("b6_deficient"))},
            "supplement": {"supply": _supply("50 mg/d pyridoxine")},
        },
        "folate": {
            "reference": {"set": {"FOLATE_DIET_rate": healthy.values["FOLATE_DIET_rate"]}},
            "supplement": {"supply": _supply("0.8 mg/d folic acid")},
        },
        "mthfr": {"tt": {"set": _changes(person, person.with_set("mthfr_677tt"))}},
    }
    scores = jetals()
    months = PROGRESSION_WEEKS * HOURS_PER_WEEK / HOURS_PER_MONTH
    defaults = {
        "baseline": round(scores["baseline"], 2),
        "progression": round(-scores["placebo"]["mean"] / months, 2),
    }
    cuts = {
        name: round(100 * value / person.values[parameter])
        for name in ("b12", "b6")
        for parameter, value in options[name]["deficient"]["set"].items()
    }
    shown = []
    for control in control_words():
        key = control["id"]
        control |= does.get(key, {})
        if key == "scenario":
            control["options"] = [{"id": s.id, "label": s.title} for s in scenarios().values()]
        for option in control.get("options", ()):
            option |= options.get(key, {}).get(option["id"], {})
        control |= {"help": control["help"].format(**defaults, **cuts)}
        if key in defaults:
            control["default"] = defaults[key]
        shown.append(control)
    return shown


def _curves() -> list[dict[str, Any]]:
    """What is drawn: id, what is computed, name, unit, factor to it, scale."""
    rows = (
        ("alsfrs_r", "alsfrs_r", "ALSFRS-R", "points of 48", 1.0, False, "effect"),
        ("hcy_plasma", "hcy_plasma", "Total homocysteine in plasma", "µmol/L", 1.0, False, "draws"),
        ("cbl_plasma", "cbl_plasma", "Cobalamin in plasma", "nmol/L", 1e3, True, "draws"),
        ("motor_units", "motor_units", "Working motor units", "% of healthy", 100.0, False, "effect"),
        ("vital_capacity", "vital_capacity", "Vital capacity", "% of predicted", 100.0, False, "effect"),
        ("nfl", "nfl", "Neurofilament light chain", "times that of health", 1.0, False, "effect"),
        ("mma_plasma", "mma_plasma", "Methylmalonic acid in plasma", "nmol/L", 1e3, False, "draws"),
        ("sam_sah", ["sam_liver", "sah_liver"], "SAM/SAH ratio in liver", "ratio", 1.0, False, "draws"),
        ("holo_tc", "holo_tc", "Holotranscobalamin in plasma", "pmol/L", 1e6, True, "draws"),
        ("folate_plasma", "folate_plasma", "Folate in plasma", "nmol/L", 1e3, False, "draws"),
    )
    keys = ("id", "output", "name", "unit", "factor", "log", "band")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _draws(healthy: Model, person: Model) -> dict[str, Any]:
    """Draws of the fitted parameters: those that differ between draws, one row each; none without a fit."""
    if posterior_sample() is None:
        return {"names": [], "rows": []}
    table = draws(healthy, DRAWS)
    known = equations(person).parameters
    # what this person was given stays the same in every draw
    names = [c for c in table if table[c].nunique() > 1 and c in known and c not in person.changed]
    return {"names": names, "rows": table[names].to_numpy().tolist()}


def _scenarios(person: Model) -> list[dict[str, Any]]:
    """The stated assumptions, with the direct maximum at both ends and in the middle of their 95 % range."""
    rows = []
    for s in scenarios().values():
        entry = dataclasses.asdict(s) | {"references": [citation(k) for k in s.source.split(";") if k != "Assumed"]}
        ends = [0.0, 0.0, 0.0]
        if s.effect is not None:
            sizes = (s.effect + z * (s.effect_sd or 0.0) for z in (-1.96, 0.0, 1.96))
            ends = [direct_maximum(person, size, s.beta_hcy) for size in sizes]
        # the direct path can neither remove more than the whole loss nor speed it up in one person
        entry |= {"maximum": scenario_maximum(person, s), "ends": np.clip(ends, 0.0, 1.0).tolist()}
        rows.append(entry)
    return rows


def _trial(generator: Generator) -> dict[str, Any]:
    """Distributions of virtual patients, designs, and the latent numbers of the bodies."""
    designs = []
    for name in ("jetals", "e0761"):
        design = dataclasses.asdict(read_design(name)) | {"control": read_design(name).control}
        for arm in design["arms"]:
            arm["doses"] = _doses(arm["regimen"]) if arm["regimen"] else None
        designs.append(design)
    model = generator.model
    return {
        "designs": designs,
        "values": dict(generator.values),
        "root": generator.root.tolist(),
        "body": BODY,
        "disease": DISEASE,
        "spread": SPREAD,
        "typical": {name: model.values[name] for name in ("central", *(row[0] for row in SPREAD))},
        "plausible": PLAUSIBLE,
        "step": STEP,
        # a rating is a whole point: the page runs its people at a coarser tolerance than the package
        "rtol": {"page": RTOL["curves"], "package": POOL_RTOL},
        "bodies": BODIES,
        "seed": SEED,
        "sobol": _sobol(),
    }


def _doses(regimen: str) -> dict[str, Any]:
    """A regular regimen in numbers: amount [mg], interval [d], number of doses."""
    doses = Regimen.parse(regimen).doses
    return {
        "dose": doses[0].amount / _umol("1 mg", doses[0].substance),
        "interval": (doses[1].time - doses[0].time) / 24,
        "route": doses[0].route,
        "count": len(doses),
    }


def _sobol() -> dict[str, Any]:
    """First point and steps of the scrambled sequence that `normals` uses, as whole numbers."""
    first, steps, bits = sobol_numbers(BODIES, len(BODY), SEED)
    return {"first": first, "steps": steps, "bits": bits}


def _sbml_template(person: Model) -> str:
    """The model as SBML with one series of doses to each place the page can dose: events as the export writes them."""
    regimen, places = Regimen(), set[str]()
    for name in GIVEN:
        for route, (target, _) in substance(name).routes.items():
            if target not in places:
                # two doses, since a series that repeats is written with its interval
                regimen += Regimen.of(10.0, name, route, every=24.0, count=2)
            places.add(target)
    return sbml_text(person, regimen, until=200.0, start="initial")
