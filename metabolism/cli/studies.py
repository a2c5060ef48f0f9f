"""The commands that run a model many times: scan, sensitivity, design."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.cli.shared import (
    ENGINE,
    MODEL,
    OUT,
    REGIMEN,
    SEED,
    UNTIL,
    WORKERS,
    Arguments,
    Command,
    check_counts,
    chosen_model,
    in_force,
    option,
    print_frame,
    progress_bar,
)
from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.files import check_target, write_atomically
from metabolism.units import number

if TYPE_CHECKING:
    import pandas as pd

    from metabolism.model import Model
    from metabolism.sensitivity import Factors

_GLOBAL = ("sobol", "morris", "efast", "pawn", "delta", "prcc")


def _study(arguments: Arguments, *less: str) -> dict[str, Any]:
    """Return the options of a study under the names of its fields, apart from some it does not take."""
    study = {
        "regimen": arguments.regimen,
        "until": arguments.until,
        "endpoints": arguments.endpoint,
        "own_baseline": _pairs(arguments.own_baseline),
        "engine": arguments.engine,
        "closed": arguments.closed,
        "store": arguments.store,
        "workers": arguments.workers,
        "cluster": arguments.cluster,
        "progress": True,
    }
    return {name: value for name, value in study.items() if name not in less}


def _scan(arguments: Arguments) -> int:
    """Run a sweep and print what came out; return 0, or 1 if a run failed."""
    from metabolism.sweep import scan

    if arguments.csv:
        check_target(arguments.csv, arguments.force)
    model = chosen_model(arguments)
    sweep = scan(model, _samples(arguments, model), chunk=arguments.chunk, **_study(arguments))
    table, failed = sweep.frame(), sweep.failures
    arguments.payload = {"runs": table, "units": sweep.units, "manifest": sweep.manifest}
    print_frame(_summary(table, sweep.endpoints, sweep.units), left=2)
    print(f"{len(sweep)} runs on engine '{sweep.manifest['study']['engine']}', {len(failed)} failed")
    print(f"scenario: {in_force(arguments, model)}")
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
    folder = Path(arguments.out) if arguments.out else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    model = chosen_model(arguments)
    print(f"scenario: {in_force(arguments, model)}")
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


def _global(arguments: Arguments, model: Model, factors: Factors | None) -> Any:
    from metabolism.sensitivity import indices as indices_of
    from metabolism.sensitivity import plots

    study = _study(arguments)
    indices = indices_of(arguments.method, model, n=arguments.n, factors=factors, seed=arguments.seed, **study)
    figures = {"heat": plots.heat(indices)} if indices.table["endpoint"].nunique() > 1 else {}
    for i, endpoint in enumerate(dict.fromkeys(indices.table["endpoint"]), start=1):
        print(f"\n{endpoint}: {indices.main} with {indices.confidence:.0%} intervals")
        print_frame(indices.ranking(endpoint)[["factor", "value", "low", "high"]].head(20))
        print(indices.converged(endpoint))
        figures[f"{i}_indices"] = plots.bars(indices, endpoint)
        figures[f"{i}_convergence"] = plots.convergence(indices, endpoint)
    print(f"\n{indices.runs} runs, {len(indices.failed)} failed, seed {indices.seed}")
    for note in indices.notes:
        print(f"note: {note}")
    tables = {
        "indices": indices.table,
        "interactions": indices.interactions,
        "convergence": indices.convergence,
        "factors": indices.factors.frame(),
        "failed": indices.failed,
    }
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
    study = _study(arguments, "engine", "closed", "store", "workers", "cluster", "progress")
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


#: Methods that are not global.
_LOCAL = {"tornado": _tornado, "slopes": _slopes, "control": _control}


def _samples(arguments: Arguments, model: Model) -> Any:
    if arguments.design is not None:
        return Path(arguments.design)
    if arguments.cohort is not None:
        return _cohort(model, arguments.cohort, arguments.seed)
    if arguments.draws is not None:
        from metabolism.model import draws

        return draws(model, arguments.draws)
    grid: dict[str, list[float]] = {}
    for text in arguments.grid:
        name, values = _grid(text)
        if name in grid:
            raise UsageError(f"--grid names '{name}' twice; give all its values at once.")
        grid[name] = values
    return grid


def _cohort(model: Model, count: int, seed: int) -> pd.DataFrame:
    if count < 2 or seed < 0:
        raise InvalidValue(f"--cohort {count} must be at least 2, and --seed {seed} at least 0.")
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
        chosen = [number(v, name) for v in values.split(",")]
    except (ValueError, InvalidValue):
        separator = ""
    if not separator or not name:
        raise UsageError(f"--grid '{text}' must read ID=LOW:HIGH:COUNT or ID=VALUE,VALUE, e.g. GFR_rel=0.3:1:8.")
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


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, output = text.partition("=")
        if not separator or not output:
            raise UsageError(f"--own-baseline '{text}' must read ID=OUTPUT, e.g. MN_hcy_ref=hcy_plasma.")
        pairs[name] = output
    return pairs


def _summary(table: pd.DataFrame, endpoints: list[str], units: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    values = table[endpoints]
    quantiles = values.quantile([0.0, 0.05, 0.5, 0.95, 1.0]).T
    quantiles.columns = ["lowest", "5 %", "median", "95 %", "highest"]
    return pd.concat([pd.Series(units, name="unit"), quantiles], axis=1).rename_axis("endpoint").reset_index()


def _trial_design(arguments: Arguments) -> int:
    """Carry the command out; the model is taken as patients' unless it already has a set for them."""
    from metabolism.plotting import save_figure
    from metabolism.trials import figures, power_table, read_design

    check_counts(arguments, replicates=1, bodies=1, workers=1, seed=0)
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
    arguments.payload = table
    print_frame(table)
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


#: Options of a study, by the fields of it.
_STUDY = (
    REGIMEN,
    UNTIL,
    option(
        "--endpoint",
        action="append",
        metavar="TEXT",
        help="hcy_change, sam_sah, mma, cobalamin_auc, alsfrs_change, treatment_difference, or e.g. "
        "'max(cbl_plasma)', 'change(alsfrs_r) vs untreated'; may be repeated",
    ),
    option(
        "--own-baseline",
        action="append",
        default=[],
        metavar="ID=OUTPUT",
        help="set a parameter to each run's own resting value, e.g. MN_hcy_ref=hcy_plasma",
    ),
    option("--closed", action="store_true", help="derive capacities anew, so that the reference state rests"),
    ENGINE,
    option("--store", type=Path, metavar="DIR", help="keep runs here; an unfinished store is continued"),
    option("--workers", type=int, default=1, metavar="N", help="processes (default: 1)"),
    option("--cluster", metavar="ADDRESS", help="Dask scheduler, e.g. tcp://10.0.0.1:8786"),
)

#: The commands of this file.
COMMANDS = (
    Command(
        "scan",
        "run a grid, table, cohort or posterior draws into a resumable store",
        _scan,
        (
            (
                option("--grid", action="append", metavar="ID=A:B:N|V,V,..", help="values of a parameter; repeatable"),
                option("--design", metavar="FILE", help="one run per row of a .csv or .parquet file"),
                option("--cohort", type=int, metavar="N", help="N virtual patients of the JETALS run-in"),
                option("--draws", type=int, metavar="N", help="N draws of the fitted parameters"),
            ),
            *_STUDY,
            SEED,
            option("--chunk", type=int, metavar="N", help="runs per part file"),
            option("--csv", metavar="FILE", help="also write the whole table here"),
            *MODEL,
        ),
        ('metabolism scan --grid GFR_rel=0.3:1:8 --regimen "50 mg im" --endpoint hcy_change',),
    ),
    Command(
        "sensitivity",
        "say which inputs drive an endpoint: local, one at a time, global",
        _sensitivity,
        (
            option("method", metavar="METHOD", help=", ".join([*_GLOBAL, *_LOCAL])),
            *_STUDY,
            option("--factor", action="append", default=[], metavar="ID[=LOW:HIGH]", help="may be repeated"),
            *(
                option(f"--{name}", action="append", help=f"only parameters of this {name}; may be repeated")
                for name in ("module", "kind", "confidence")
            ),
            option("--spread", type=float, help="vary by this fraction about the present value, not by prior"),
            option("--cohort", type=int, metavar="N", help="take N virtual patients as the distribution"),
            option("--n", type=int, help="base sample size (default: that of the method)"),
            SEED,
            option("--out", metavar="DIR", help="write tables and figures here"),
            *MODEL,
        ),
        ('metabolism sensitivity sobol --endpoint hcy_change --n 64 \\\n      --regimen "50 mg im every 3.5 d x 32"',),
    ),
    Command(
        "design",
        "compute power, assurance and overstatement of a trial design",
        _trial_design,
        (
            option("name", help="a shipped design (jetals, e0761, ...) or a .toml file"),
            option("--effect", default="0.25,0.35,0.425", help="true reductions of the loss rate, with commas"),
            option("--prior", default="0.27,0.10", help="mean,SD of the effect for the assurance, or none"),
            option("--patients", help="numbers randomised"),
            option("--weeks", help="lengths of treatment [weeks]"),
            option("--run-in", dest="run_in", help="windows such as 1-2,1-4,none [points]"),
            option("--onset-limit", dest="onset_limit", help="longest times since onset [months]"),
            option("--hcy-min", dest="hcy_min", help="smallest resting homocysteine [uM]"),
            option("--dose", help='amounts, e.g. "25 mg,50 mg"'),
            option("--interval", help='intervals, e.g. "3.5 d,7 d"'),
            option("--replicates", type=int, default=400, metavar="N", help="trials per row (default: 400)"),
            option("--bodies", type=int, default=256, metavar="N", help="virtual bodies simulated (default: 256)"),
            OUT,
            SEED,
            WORKERS,
            *MODEL[:2],
        ),
        (
            "metabolism design jetals --effect 0.25,0.35,0.425",
            "metabolism design jetals --effect 0.2,0.3 --patients 130,260,520 --weeks 16",
            "metabolism design my_trial.toml --effect 0.27 --run-in 1-2,1-4,none",
            'metabolism design jetals --effect 0.3 --dose "25 mg,50 mg" --hcy-min 0,15',
        ),
    ),
)
