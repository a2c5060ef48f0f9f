"""The commands that run a model many times: scan, sensitivity, design."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.cli.shared import Arguments, chosen_model, in_force, leave_out, pair, print_frame, progress_bar
from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.files import check_target, write_atomically
from metabolism.units import label, number

if TYPE_CHECKING:
    import pandas as pd

    from metabolism.model import Model
    from metabolism.sensitivity import Factors

#: Most values of one parameter of a grid: more would be no grid, and numbers that fill the memory.
_MOST = 1_000_000

_GLOBAL = ("sobol", "morris", "efast", "pawn", "delta", "prcc")


def _study(arguments: Arguments, *less: str) -> dict[str, Any]:
    """Return the options of a study under the names of its fields, apart from some it does not take."""
    fields = ("regimen", "until", "engine", "closed", "store", "workers", "cluster")
    study = {"endpoints": arguments.endpoint, "progress": True}
    study["own_baseline"] = dict(pair("--own-baseline", t, "MN_hcy_ref=hcy_plasma") for t in arguments.own_baseline)
    study |= {name: getattr(arguments, name) for name in fields}
    return {name: value for name, value in study.items() if name not in less}


def _scan(arguments: Arguments) -> int:
    """Run a sweep and print what came out; return 0, or 1 if a run failed."""
    from metabolism.sweep import scan

    if arguments.csv:
        check_target(arguments.csv, arguments.force)
    model = chosen_model(arguments)
    _say_constant(arguments, model)
    sweep = scan(model, _samples(arguments, model), chunk=arguments.chunk, **_study(arguments))
    table, failed = sweep.frame(), sweep.failures
    arguments.payload = {"runs": table, "units": sweep.units, "manifest": sweep.manifest}
    print_frame(_summary(table, sweep.endpoints, sweep.units), left=2)
    print(f"{len(sweep)} runs on engine '{sweep.manifest['study']['engine']}', {len(failed)} failed")
    print(f"scenario: {in_force(arguments, model)}")
    for name in (n for n in sweep.endpoints if table[n].nunique() == 1):
        print(f"{name} is the same in every run")
    for _, row in failed.head(3).iterrows():
        print(f"  run {row['run']}: {row['failure']}")
    if arguments.csv:
        write_atomically(arguments.csv, lambda part: table.to_csv(part, index=False))
        print(f"table: {arguments.csv}")
    if arguments.store:
        print(f"store: {arguments.store}")
    return 1 if len(failed) else 0


def _sensitivity(arguments: Arguments) -> int:
    """Run a sensitivity study, print and write it; return 0."""
    if arguments.method not in (*_GLOBAL, *_LOCAL):
        raise UnknownName("sensitivity method", arguments.method, (*_GLOBAL, *_LOCAL))
    if arguments.n is not None and arguments.method in _LOCAL:
        raise UsageError(f"--n is for samples; '{arguments.method}' takes none.")
    leave_out(arguments, f"'{arguments.method}' does not use it", *_UNUSED.get(arguments.method, ()))
    folder = Path(arguments.out) if arguments.out else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    model = chosen_model(arguments)
    print(f"scenario: {in_force(arguments, model)}")
    _say_constant(arguments, model)
    tables, figures = _LOCAL.get(arguments.method, _global)(arguments, model, _factors(arguments, model))
    arguments.payload = tables
    if folder:
        from metabolism.plotting import save_figure

        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=table.index.dtype == object)
        for name, figure in figures.items():
            save_figure(figure, folder / name)
        print(f"tables and figures: {folder}")
    return 0


def _say_constant(arguments: Arguments, model: Model) -> None:
    """Say before a study on ALSFRS-R runs that a healthy adult loses nothing of it."""
    asked = [e for e in arguments.endpoint or () if "alsfrs" in e or e == "treatment_difference"]
    if asked and model.values["MN_k"] == 0:
        print(
            f"{', '.join(asked)}: constant in a healthy adult, who loses nothing; for a patient add --set als_patient"
        )


def _global(arguments: Arguments, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import indices as indices_of
    from metabolism.sensitivity import plots

    study = _study(arguments)
    indices = indices_of(arguments.method, model, n=arguments.n, factors=factors, seed=arguments.seed, **study)
    figures = {"heat": plots.heat(indices)} if indices.table["endpoint"].nunique() > 1 else {}
    for i, endpoint in enumerate(dict.fromkeys(indices.table["endpoint"]), start=1):
        print(f"\n{endpoint}: {indices.main} with {100 * indices.confidence:.0f} % intervals")
        print_frame(indices.ranking(endpoint)[["factor", "value", "low", "high"]].head(20))
        print(indices.converged(endpoint))
        figures[f"{i}_indices"] = plots.bars(indices, endpoint)
        figures[f"{i}_convergence"] = plots.convergence(indices, endpoint)
    print(f"\n{indices.runs} runs, {len(indices.failed)} failed, seed {indices.seed}")
    for note in indices.notes:
        print(f"note: {note}")
    tables = {"indices": indices.table, "interactions": indices.interactions, "convergence": indices.convergence}
    tables |= {"factors": indices.factors.frame(), "failed": indices.failed}
    return {k: t for k, t in tables.items() if len(t)}, figures


def _tornado(arguments: Arguments, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import plots, tornado

    table = tornado(model, factors=factors, **_study(arguments))
    figures = {}
    for i, (endpoint, part) in enumerate(table.groupby("endpoint", sort=False), start=1):
        print(f"\n{endpoint}: {part['base'].iloc[0]:.5g} as it is; each factor alone at both ends")
        print_frame(part[["factor", "low", "high", "at_low", "at_high", "swing"]].head(20))
        figures[f"{i}_tornado"] = plots.tornado_figure(table, str(endpoint))
    return {"tornado": table}, figures


def _slopes(arguments: Arguments, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import slopes

    if factors is None:
        raise UsageError("name parameters for slopes with --factor, --module, --kind or --confidence.")
    study = _study(arguments, *_OWN, "progress")
    table = slopes(model, factors.names, **study)
    for endpoint, part in table.groupby("endpoint", sort=False):
        print(f"\n{endpoint}: {part['value'].iloc[0]:.5g}; change when a parameter rises by 1 %")
        ordered = part.sort_values("per_percent", key=abs, ascending=False)
        print_frame(ordered[["parameter", "slope", "per_percent", "elasticity"]].head(20))
    return {"slopes": table}, {}


def _control(arguments: Arguments, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import reference_control

    tables = reference_control(model, parameters=factors.names if factors else None)
    print_frame(tables["theorems"])
    flat = tables["response"].rename_axis("output").reset_index()
    flat = flat.melt("output", var_name="parameter", value_name="coefficient")
    print("\nlargest response coefficients d ln output / d ln parameter of the resting state")
    print_frame(flat.sort_values("coefficient", key=abs, ascending=False).head(20), left=2)
    return tables, {}


#: What a study has that is carried out as a sweep.
_OWN = ("engine", "closed", "store", "workers", "cluster")

#: Options that a method takes no notice of.
_UNUSED = {
    "slopes": (*_OWN, "spread", "cohort", "seed"),
    "control": (*_OWN, "spread", "cohort", "seed", "regimen", "until", "endpoint", "own_baseline"),
}

#: Methods that are not global.
_LOCAL = {"tornado": _tornado, "slopes": _slopes, "control": _control}


def _samples(arguments: Arguments, model: Model) -> Any:
    from metabolism.model import draws

    if arguments.design is not None:
        return Path(arguments.design)
    if arguments.cohort is not None:
        return _cohort(model, arguments.cohort, arguments.seed)
    if arguments.draws is not None:
        return draws(model, arguments.draws)
    return dict(map(_grid, arguments.grid))


def _cohort(model: Model, count: int, seed: int) -> pd.DataFrame:
    from metabolism.trials import JETALS_RUN_IN, PATIENT_COLUMNS, select

    return select(model, count, JETALS_RUN_IN, seed).people[list(PATIENT_COLUMNS)]


def _grid(text: str) -> tuple[str, list[float]]:
    import numpy as np

    name, separator, values = text.partition("=")
    try:
        if ":" in values:
            low, high, count = values.split(":")
            if not 2 <= _whole(count) <= _MOST:
                raise InvalidValue(f"{count} values")
            return name, np.linspace(number(low), number(high), _whole(count)).tolist()
        chosen = [number(v, name) for v in values.split(",")]
    except (ValueError, InvalidValue):
        separator = ""
    if not separator or not name:
        raise UsageError(
            f"--grid '{text}' must read ID=LOW:HIGH:COUNT, with a count of 2 to {_MOST}, or ID=VALUE,VALUE, e.g. "
            "GFR_rel=0.3:1:8."
        )
    return name, chosen


def _factors(arguments: Arguments, model: Model) -> Factors | None:
    from metabolism.sensitivity import choose, from_cohort

    names, ranges = [], {}
    for text in arguments.factor:
        name, separator, span = text.partition("=")
        names.append(name)
        if separator:
            try:
                low, high = (number(v, name) for v in span.split(":"))
            except (ValueError, InvalidValue):
                raise UsageError(f"--factor '{text}' must read ID or ID=LOW:HIGH.") from None
            ranges[name] = (low, high)
    filters = {k: getattr(arguments, k) for k in ("module", "kind", "confidence") if getattr(arguments, k)}
    if arguments.cohort is not None:
        if filters or ranges or arguments.spread is not None:
            raise UsageError("--cohort brings its own distributions; leave out filters, ranges and --spread.")
        return from_cohort(model, _cohort(model, arguments.cohort, arguments.seed), names or None)
    if not names and not filters and arguments.spread is None:
        return None
    return choose(model, names or None, ranges=ranges, spread=arguments.spread, **filters)


def _summary(table: pd.DataFrame, endpoints: list[str], units: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    values = table[endpoints]
    quantiles = values.quantile([0.0, 0.05, 0.5, 0.95, 1.0]).T
    quantiles.columns = ["lowest", "5 %", "median", "95 %", "highest"]
    said = pd.Series({name: label(unit) or "-" for name, unit in units.items()}, name="unit")
    return pd.concat([said, quantiles], axis=1).rename_axis("endpoint").reset_index()


def _trial_design(arguments: Arguments) -> int:
    """Carry the command out; the model is taken as patients' unless it already has a set for them."""
    from metabolism.plotting import save_figure
    from metabolism.trials import CHOICES, figures, power_table, read_design

    design = read_design(arguments.name)
    if arguments.analysis and arguments.analysis != design.primary:
        design = design.changed(primary=arguments.analysis, estimand=None)
    effects = _values("--effect", arguments.effect, _truth)
    if any(abs(e) >= 1 for e in effects if isinstance(e, float)):
        raise InvalidValue(
            f"--effect '{arguments.effect}': an effect is a share of the loss rate below 1; write e.g. 0.25,0.35 with "
            "decimal points, and commas between effects."
        )
    # what stops early must show how often it shows what is not there
    effects = [0.0, *effects] if (design.looks or design.enrichment) and 0 not in effects else effects
    prior = None
    if arguments.prior != "none":
        pair = _values("--prior", arguments.prior, number)
        if len(pair) != 2 or pair[1] <= 0:
            raise InvalidValue(f"--prior '{arguments.prior}' must read MEAN,SD with an SD above 0, or none.")
        prior = (pair[0], pair[1])
    kinds: dict[str, Callable[[str], Any]] = {"patients": _whole, "run_in": _window, "dose": str, "interval": str}
    kinds |= dict.fromkeys(("weeks", "onset_limit", "hcy_min"), number)
    asked = {k: text for k in CHOICES if (text := getattr(arguments, k))}
    choices = {k: _values(f"--{k.replace('_', '-')}", text, kinds[k]) for k, text in asked.items()}
    rows = (len(effects) + (prior is not None)) * math.prod(map(len, choices.values()))
    folder = Path(arguments.out) / f"design_{design.id}"
    model = chosen_model(arguments)
    if "als_patient" not in model.sets:
        model = model.with_set("als_patient")
    with progress_bar() as begin:
        tick = begin(f"trials of {design.id}", rows * arguments.replicates)
        options = {k: getattr(arguments, k) for k in ("replicates", "seed", "workers")}
        options |= {"prior": prior, "choices": choices, "size": arguments.bodies, "folder": folder / "replicates"}
        table = power_table(model, design, effects, tick=tick, **options)
    write_atomically(folder / "power.csv", lambda part: table.to_csv(part, index=False))
    for name, figure in figures(table, design.title).items():
        save_figure(figure, folder / name)
    arguments.payload = table
    print_frame(table)
    print(f"\ntable and figures: {folder}")
    return 0


def _truth(text: str) -> float | dict[str, float]:
    """One effect for all arms, or ``ARM=EFFECT ARM=EFFECT``."""
    if "=" not in text:
        return number(text)
    pairs = [part.partition("=") for part in text.split()]
    if twice := sorted({arm for arm, *_ in pairs if [a for a, *_ in pairs].count(arm) > 1}):
        raise InvalidValue(f"{' and '.join(twice)} is named twice; give each arm one effect.")
    return {arm: number(value, arm) for arm, _, value in pairs}


def _window(text: str) -> Any:
    if text == "none":
        return "none"
    low, separator, high = text.partition("-")
    if not separator:
        raise ValueError(f"'{text}' must read LOW-HIGH or none")
    return _whole(low), _whole(high)


def _whole(text: str) -> int:
    value = number(text)
    if not value.is_integer():
        raise InvalidValue(f"'{text}' is not a whole number")
    return int(value)


def _values(option: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(part.strip()) for part in text.split(",")]
    except (ValueError, InvalidValue) as error:
        raise InvalidValue(f"{option} '{text}' cannot be read: {str(error).rstrip('.')}.") from None


#: What carries out each command of this file.
ACTIONS = {"scan": _scan, "sensitivity": _sensitivity, "design": _trial_design}
