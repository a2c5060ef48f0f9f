"""What the page says: labels, help, presets and plain sentences, for a neurologist and a patient."""

from __future__ import annotations

from typing import Any

WARNING = "A research model. Not for patient care: do not use it to choose a treatment."


def control_words() -> list[dict[str, Any]]:
    """Return every control of one person: group, label, limits, options, default and help."""

    def number(id_: str, group: str, label: str, limits: tuple[float, float, float], default: float, help_: str) -> Any:
        low, high, step = limits
        words = {"id": id_, "group": group, "label": label, "help": help_, "default": default}
        return words | {"kind": "number", "low": low, "high": high, "step": step}

    def choice(id_: str, group: str, label: str, options: dict[str, str], help_: str, default: str = "") -> Any:
        entries = [{"id": k, "label": v} for k, v in options.items()]
        words = {"id": id_, "group": group, "label": label, "help": help_}
        return words | {"kind": "choice", "options": entries, "default": default or next(iter(options), "")}

    drug, person, more, assumed = "Treatment", "The person", "Food and vitamins", "What is assumed"
    return [
        number(
            "dose", drug, "Methylcobalamin per dose [mg]", (0, 100, 0.5), 50, "0 is none. The trials gave 25 and 50 mg."
        ),
        number("interval", drug, "Days between doses", (0.5, 60, 0.5), 3.5, "3.5 is twice a week, as in the trials."),
        choice(
            "route",
            drug,
            "Route",
            {"im": "into muscle", "sc": "under the skin", "iv": "into a vein", "oral": "by mouth"},
            "",
        ),
        number("weeks", drug, "Weeks", (1, 104, 1), 16, "JETALS lasted 16 weeks; beyond that there are no such data."),
        number("missed", drug, "Missed doses [%]", (0, 90, 5), 0, "Spread evenly over the weeks."),
        number(
            "baseline",
            person,
            "ALSFRS-R at the first dose [points]",
            (12, 48, 0.01),
            0,
            "The mean of JETALS was {baseline}.",
        ),
        number(
            "progression",
            person,
            "Points lost a month, without methylcobalamin",
            (0, 3, 0.01),
            0,
            "Mean of the first 16 weeks. The placebo arm of JETALS lost {progression} a month.",
        ),
        number(
            "gfr", person, "Kidney function [% of normal]", (10, 150, 1), 100, "Filtration relative to a healthy adult."
        ),
        choice(
            "mthfr",
            person,
            "MTHFR genotype",
            {"cc": "677CC (usual)", "tt": "677TT"},
            "677TT weakens the enzyme that makes the folate homocysteine needs.",
        ),
        choice(
            "b12",
            more,
            "Vitamin B12 before treatment",
            {"usual": "usual", "deficient": "deficient"},
            "Deficient: absorption from food cut to {b12} % of the usual.",
        ),
        choice(
            "folate",
            more,
            "Folate",
            {
                "als": "as measured in people with ALS",
                "reference": "healthy reference",
                "supplement": "supplement, 0.8 mg folic acid a day",
            },
            "The supplement comes on top of the level measured in people with ALS.",
        ),
        choice(
            "b6",
            more,
            "Vitamin B6",
            {"usual": "usual", "deficient": "deficient", "supplement": "supplement, 50 mg pyridoxine a day"},
            "Deficient: {b6} % of the usual intake.",
        ),
        number("betaine", more, "Betaine by mouth [g a day]", (0, 10, 0.5), 0, "0 is none."),
        number(
            "methionine",
            more,
            "Methionine by mouth, once at the start [g]",
            (0, 12, 0.5),
            0,
            "A load test gives about 7 g.",
        ),
        choice(
            "scenario",
            assumed,
            "Effect of the drug on the disease",
            {},
            "How large it is, and by which path, is not known. Choose an assumption.",
            "pooled",
        ),
        choice(
            "first",
            assumed,
            "Number shown first",
            {"alsfrs_r": "ALSFRS-R", "hcy_plasma": "homocysteine", "cbl_plasma": "cobalamin in plasma"},
            "All others stand in the table below.",
        ),
        choice(
            "against",
            assumed,
            "Colours of the flux map show",
            {"without": "change by methylcobalamin", "healthy": "difference from a healthy person"},
            "",
        ),
    ]


def preset_words() -> list[dict[str, Any]]:
    """Return the presets: name, one line, and the choices that differ from the defaults."""
    single = {"interval": 60, "weeks": 1, "first": "cbl_plasma", "folate": "reference"}
    rows: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("jetals", "JETALS, 50 mg", "the active arm: 50 mg into muscle twice a week, 16 weeks", {}),
        ("placebo", "JETALS, placebo", "the same person without methylcobalamin", {"dose": 0}),
        ("e0761", "E0761, 25 mg", "the lower dose of the longer trial, one year of it", {"dose": 25, "weeks": 52}),
        ("label50", "One dose of 50 mg", "the healthy men of the Japanese label", single),
        ("label25", "One dose of 25 mg", "the healthy men of the Japanese label", single | {"dose": 25}),
        ("label05", "One dose of 0.5 mg", "the ordinary dose", single | {"dose": 0.5}),
        ("b12", "B12 deficiency", "a person who lacks B12 is treated", {"b12": "deficient", "first": "hcy_plasma"}),
        ("tt", "MTHFR 677TT", "the genotype that needs more folate", {"mthfr": "tt", "first": "hcy_plasma"}),
        (
            "ttfolate",
            "677TT with folic acid",
            "the same with 0.8 mg folic acid a day",
            {"mthfr": "tt", "folate": "supplement", "first": "hcy_plasma"},
        ),
        (
            "load",
            "Methionine load",
            "7 g of methionine once, no methylcobalamin",
            {"dose": 0, "methionine": 7, "weeks": 1, "first": "hcy_plasma", "folate": "reference"},
        ),
    )
    return [{"id": i, "label": name, "note": note, "choices": choices} for i, name, note, choices in rows]


#: Sentences of the page; ``{}`` fields are filled from computed values.
TEXTS: dict[str, str] = {
    "title": "The trial in a tab",
    "subtitle": "Methylcobalamin, homocysteine and ALS: the whole model in one page",
    "warning": WARNING,
    "known_trial": "In JETALS people lost {active} points of ALSFRS-R in 16 weeks on 50 mg twice a week and "
    "{placebo} on placebo: "
    "a difference of {difference} (95 % interval {low} to {high}).",
    "known_later": "The larger and longer E0761 trial missed its main goals.",
    "known_levels": "Blood levels after single injections of 0.5, 25 and 50 mg were measured in healthy men; "
    "the model was fitted to them.",
    "known_b12": "Vitamin B12 lowers homocysteine much in people who lack B12, and little in people who do not.",
    "assumed_effect": "The drug slows the loss of motor units by {effect} at 50 mg twice a week over 16 weeks "
    "(95 % range {low} to {high}).",
    "assumed_none": "The drug has no direct effect on motor neurons.",
    "assumed_path": "The rate of loss follows homocysteine with an elasticity of {beta}.",
    "assumed_site": "A direct effect would follow the dose through an unseen site. Nothing measured supports "
    "its size or its timing.",
    "assumed_rate": "The person loses {rate} points a month without methylcobalamin; between people this "
    "differs more than any effect shown here.",
    "beyond_weeks": "After week 16 there are no such data: the curve is an extrapolation.",
    "beyond_route": "Doses above 1 mg by this route were not measured; their absorption is assumed.",
    "beyond_dose": "Doses above 50 mg were not measured.",
    "run_in": "A trial's mean differs from one person's: its run-in chooses who enters, and people differ.",
    "band_draws": "Shaded: middle 80 % of {count} draws of the fitted parameters.",
    "band_effect": "Shaded: the 95 % range of the assumed effect.",
    "no_simd": "This browser cannot run the model: it lacks WebAssembly with 128-bit vectors. Any Firefox, "
    "Chrome, Edge or Safari "
    "since 2023 can; please open the page there.",
    "no_engine": "The part of the page that computes does not answer. It was started again; if this stays, "
    "reload the page.",
    "no_answer": "This combination has no answer: the calculation did not finish. The old result stays; choose "
    "milder values.",
}
