"""The commands `metabolism scan` and `metabolism sensitivity`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.cli.shared import add_model_options, chosen_model, progress_bar
from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.trials import figures
from metabolism.units import number

if TYPE_CHECKING:
    import pandas as pd

    from metabolism.model import Model
    from metabolism.sensitivity import Factors


#: Methods of `metabolism sensitivity` that are not global.
LOCAL = ("tornado", "slopes", "control")


GLOBAL = ("sobol", "morris", "efast", "pawn", "delta", "prcc")


def add_commands(commands: Any) -> None:
    """Add the subcommands of this module; each carries the function that runs it as ``action``."""
    scanning = commands.add_parser("scan", help="run a grid, table, cohort or posterior draws into a resumable store")
    _shared(scanning)
    what = scanning.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--grid", action="append", metavar="ID=A:B:N|V,V,..", help="values of a parameter; may be repeated"
    )
    what.add_argument("--design", type=Path, metavar="FILE", help="one run per row of a .csv or .parquet file")
    what.add_argument("--cohort", type=int, metavar="N", help="N virtual patients of the JETALS run-in")
    what.add_argument("--draws", type=int, metavar="N", help="N draws of the fitted parameters")
    scanning.add_argument("--seed", type=int, default=1, help="seed of the cohort (default: 1)")
    scanning.add_argument("--chunk", type=int, help="runs per part file")
    scanning.add_argument("--csv", type=Path, metavar="FILE", help="also write the whole table here")
    add_model_options(scanning)
    scanning.set_defaults(action=_scan)

    sensing = commands.add_parser("sensitivity", help="which inputs drive an endpoint: local, one at a time, global")
    sensing.add_argument("method", metavar="METHOD", help=", ".join([*GLOBAL, *LOCAL]))
    _shared(sensing)
    sensing.add_argument("--factor", action="append", default=[], metavar="ID[=LOW:HIGH]", help="may be repeated")
    for name in ("module", "kind", "confidence"):
        sensing.add_argument(f"--{name}", action="append", help=f"only parameters of this {name}; may be repeated")
    sensing.add_argument("--spread", type=float, help="vary by this fraction about the present value, not by prior")
    sensing.add_argument("--cohort", type=int, metavar="N", help="take N virtual patients as the distribution")
    sensing.add_argument("--n", type=int, help="base sample size (default: that of the method)")
    sensing.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    sensing.add_argument("--out", type=Path, metavar="DIR", help="write tables and figures here")
    add_model_options(sensing)
    sensing.set_defaults(action=_sensitivity)


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--regimen", help='e.g. "50 mg im every 3.5 d x 32"')
    parser.add_argument("--until", default="16 weeks", help="end of each run (default: 16 weeks)")
    parser.add_argument(
        "--endpoint",
        action="append",
        metavar="TEXT",
        help="hcy_change, sam_sah, mma, cobalamin_auc, alsfrs_change, treatment_difference, or e.g. "
        "'max(cbl_plasma)', 'change(alsfrs_r) vs untreated'; may be repeated",
    )
    parser.add_argument(
        "--own-baseline",
        action="append",
        default=[],
        metavar="ID=OUTPUT",
        help="set a parameter to each run's own resting value, e.g. MN_hcy_ref=hcy_plasma",
    )
    parser.add_argument(
        "--closed", action="store_true", help="derive capacities anew, so that the reference state rests"
    )
    parser.add_argument("--engine", default="auto", help="auto (fast), fast, roadrunner or scipy")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep runs here; an unfinished store is continued")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="Dask scheduler, e.g. tcp://10.0.0.1:8786")


def _scan(arguments: argparse.Namespace) -> int:
    """Run a sweep and print what came out; return 0, or 1 if every run failed."""
    from metabolism.files import write_atomically
    from metabolism.sweep import scan

    model = chosen_model(arguments)
    found = scan(
        model,
        _design(arguments, model),
        arguments.regimen,
        arguments.until,
        endpoints=arguments.endpoint,
        store=arguments.store,
        workers=arguments.workers,
        cluster=arguments.cluster,
        chunk=arguments.chunk,
        progress=True,
        own_baseline=_pairs(arguments.own_baseline),
        engine=arguments.engine,
        closed=arguments.closed,
    )
    table = found.frame()
    print(_text(_summary(table, found.endpoints, found.units)))
    failed = found.failures
    print(f"{len(found)} runs on engine '{found.manifest['study']['engine']}', {len(failed)} failed")
    for _, row in failed.head(3).iterrows():
        print(f"  run {row['run']}: {row['failure']}")
    if arguments.csv:
        write_atomically(arguments.csv, lambda part: table.to_csv(part, index=False))
        print(f"table: {arguments.csv}")
    if arguments.store:
        print(f"store: {arguments.store}")
    return 1 if len(failed) == len(found) else 0


def _sensitivity(arguments: argparse.Namespace) -> int:
    """Run a sensitivity study, print and write it; return 0."""
    model = chosen_model(arguments)
    if arguments.method not in (*GLOBAL, *LOCAL):
        raise UnknownName("sensitivity method", arguments.method, (*GLOBAL, *LOCAL))
    if arguments.n is not None and arguments.method in LOCAL:
        raise UsageError(f"--n is for samples; '{arguments.method}' takes none.")
    work = {"tornado": _tornado, "slopes": _slopes, "control": _control}.get(arguments.method, _global)
    tables, figures = work(arguments, model, _factors(arguments, model))
    if arguments.out:
        from metabolism.plotting import save_figure

        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            table.to_csv(arguments.out / f"{name}.csv", index=table.index.dtype == object)
        for name, figure in figures.items():
            save_figure(figure, arguments.out / name)
        print(f"tables and figures: {arguments.out}")
    return 0


def _global(arguments: argparse.Namespace, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import indices
    from metabolism.sensitivity import plots as plots

    found = indices(
        arguments.method,
        model,
        arguments.regimen,
        arguments.until,
        n=arguments.n,
        factors=factors,
        endpoints=arguments.endpoint,
        seed=arguments.seed,
        store=arguments.store,
        workers=arguments.workers,
        cluster=arguments.cluster,
        progress=True,
        own_baseline=_pairs(arguments.own_baseline),
        engine=arguments.engine,
        closed=arguments.closed,
    )
    figures = {"heat": plots.heat(found)} if found.table["endpoint"].nunique() > 1 else {}
    for i, endpoint in enumerate(dict.fromkeys(found.table["endpoint"]), start=1):
        print(f"\n{endpoint}: {found.main} with {found.confidence:.0%} intervals")
        print(_text(found.ranking(endpoint)[["factor", "value", "low", "high"]].head(20)))
        print(found.converged(endpoint))
        figures[f"{i}_indices"] = plots.bars(found, endpoint)
        figures[f"{i}_convergence"] = plots.convergence(found, endpoint)
    print(f"\n{found.runs} runs, {len(found.failed)} failed, seed {found.seed}")
    for note in found.notes:
        print(f"note: {note}")
    tables = {
        "indices": found.table,
        "interactions": found.interactions,
        "convergence": found.convergence,
        "factors": found.factors.frame(),
        "failed": found.failed,
    }
    return {k: t for k, t in tables.items() if len(t)}, figures


def _tornado(arguments: argparse.Namespace, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import plots as plots
    from metabolism.sensitivity import tornado

    found = tornado(
        model,
        arguments.regimen,
        arguments.until,
        factors=factors,
        endpoints=arguments.endpoint,
        store=arguments.store,
        workers=arguments.workers,
        cluster=arguments.cluster,
        progress=True,
        own_baseline=_pairs(arguments.own_baseline),
        engine=arguments.engine,
        closed=arguments.closed,
    )
    figures = {}
    for i, (endpoint, part) in enumerate(found.groupby("endpoint", sort=False), start=1):
        print(f"\n{endpoint}: {part['base'].iloc[0]:.5g} as it is; each factor alone at both ends")
        print(_text(part[["factor", "low", "high", "at_low", "at_high", "swing"]].head(20)))
        figures[f"{i}_tornado"] = plots.tornado_figure(found, str(endpoint))
    return {"tornado": found}, figures


def _slopes(arguments: argparse.Namespace, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import slopes

    if factors is None:
        raise UsageError("name parameters for slopes with --factor, --module, --kind or --confidence.")
    found = slopes(
        model,
        factors.names,
        arguments.regimen,
        arguments.until,
        endpoints=arguments.endpoint,
        own_baseline=_pairs(arguments.own_baseline),
    )
    for endpoint, part in found.groupby("endpoint", sort=False):
        print(f"\n{endpoint}: {part['value'].iloc[0]:.5g}; change when a parameter rises by 1 %")
        ordered = part.sort_values("per_percent", key=abs, ascending=False)
        print(_text(ordered[["parameter", "slope", "per_percent", "elasticity"]].head(20)))
    return {"slopes": found}, {}


def _control(arguments: argparse.Namespace, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import reference_control

    found = reference_control(model, parameters=factors.names if factors else None)
    print(_text(found["theorems"]))
    flat = (
        found["response"]
        .rename_axis("output")
        .reset_index()
        .melt("output", var_name="parameter", value_name="coefficient")
    )
    print("\nlargest response coefficients d ln output / d ln parameter of the resting state")
    print(_text(flat.sort_values("coefficient", key=abs, ascending=False).head(20)))
    return found, {}


def _design(arguments: argparse.Namespace, model: Model) -> Any:
    if arguments.design is not None:
        return arguments.design
    if arguments.cohort is not None:
        return _cohort(model, arguments.cohort, arguments.seed)
    if arguments.draws is not None:
        from metabolism.model import draws

        return draws(model, arguments.draws)
    return dict(_grid(text) for text in arguments.grid)


def _cohort(model: Model, count: int, seed: int) -> pd.DataFrame:
    if count < 2:
        raise InvalidValue(f"--cohort {count} must be at least 2.")
    from metabolism.trials import JETALS_RUN_IN, PATIENT_COLUMNS, select

    return select(model, count, JETALS_RUN_IN, seed).people[list(PATIENT_COLUMNS)]


def _grid(text: str) -> tuple[str, list[float]]:
    import numpy as np

    name, separator, values = text.partition("=")
    try:
        if ":" in values:
            low, high, count = values.split(":")
            if int(count) < 2:
                raise ValueError
            return name, np.linspace(number(low), number(high), int(count)).tolist()
        found = [number(v, name) for v in values.split(",")]
    except (ValueError, InvalidValue):
        separator = ""
    if not separator or not name:
        raise UsageError(f"--grid '{text}' must read ID=LOW:HIGH:COUNT or ID=VALUE,VALUE, e.g. GFR_rel=0.3:1:8.")
    return name, found


def _factors(arguments: argparse.Namespace, model: Model) -> Factors | None:
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


def _pairs(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, separator, output = text.partition("=")
        if not separator or not output:
            raise UsageError(f"--own-baseline '{text}' must read ID=OUTPUT, e.g. MN_hcy_ref=hcy_plasma.")
        found[name] = output
    return found


def _summary(table: pd.DataFrame, endpoints: list[str], units: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    values = table[endpoints]
    quantiles = values.quantile([0.0, 0.05, 0.5, 0.95, 1.0]).T
    quantiles.columns = ["lowest", "5 %", "median", "95 %", "highest"]
    return pd.concat([pd.Series(units, name="unit"), quantiles], axis=1).rename_axis("endpoint").reset_index()


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=lambda v: f"{v:.4g}")


def add_design(commands: Any) -> None:
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
    parser.set_defaults(action=_trial_design)


def _trial_design(arguments: argparse.Namespace) -> int:
    """Carry the command out; the model is taken as patients' unless it already has a set for them."""
    from metabolism.files import write_atomically
    from metabolism.plotting import save_figure
    from metabolism.trials import power_table, read_design

    if min(arguments.replicates, arguments.workers, arguments.bodies) < 1 or arguments.seed < 0:
        raise InvalidValue("--replicates, --bodies and --workers must be at least 1, --seed 0 or more.")
    design = read_design(arguments.name)
    effects = _values("--effect", arguments.effect, number)
    if any(abs(effect) >= 1 for effect in effects):
        raise InvalidValue(
            f"--effect '{arguments.effect}': an effect is a share of the loss rate below 1; write e.g. 0.25,0.35 with "
            "decimal points, and commas between effects."
        )
    prior = None
    if arguments.prior != "none":
        pair = _values("--prior", arguments.prior, number)
        if len(pair) != 2 or pair[1] <= 0:
            raise InvalidValue(f"--prior '{arguments.prior}' must read MEAN,SD with an SD above 0, or none.")
        prior = (pair[0], pair[1])
    kinds: dict[str, Callable[[str], Any]] = {
        "patients": int,
        "weeks": number,
        "run_in": _window,
        "onset_limit": number,
        "hcy_min": number,
        "dose": str,
        "interval": str,
    }
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
            model,
            design,
            effects,
            prior=prior,
            choices=choices,
            replicates=arguments.replicates,
            seed=arguments.seed,
            size=arguments.bodies,
            folder=folder / "replicates",
            workers=arguments.workers,
            progress=tick,
        )
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
    except (ValueError, InvalidValue) as error:
        raise InvalidValue(f"{option} '{text}' cannot be read: {str(error).rstrip('.')}.") from None
