"""Experiments: one file asks one question, states claims against published numbers, and is run from here."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabolism.data import experiment_texts, experiments_dir, read_data
from metabolism.data import source as data_source
from metabolism.dosing import Regimen
from metabolism.engines import check_engine
from metabolism.errors import InvalidValue, ModelError, UnknownName, UsageError
from metabolism.files import check_target, complete_folder, manifest_text, versions, write_text
from metabolism.model import Model, citations, load
from metabolism.progress import Progress, silent
from metabolism.report.claims import Claim
from metabolism.simulation import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(eq=False)
class Outcome:
    """What an experiment returns.

    Attributes
    ----------
    answer : str
        The answer to the question in a few sentences, numbers included.
    claims : list of Claim
    results : dict of str to Result
        Saved as netCDF.
    tables : dict of str to DataFrame
        Saved as CSV; column names carry units.
    cited : list of str
        BibTeX keys used.
    notes : list of str
        Limits and caveats a reader must see.
    """

    answer: str
    claims: list[Claim] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    cited: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # the manifest keeps claims by id: of two with one id it would keep the last and show it twice
        ids = [c.id for c in self.claims]
        if twice := sorted({i for i in ids if ids.count(i) > 1}):
            raise InvalidValue(f"two claims are called '{twice[0]}'; give one another name: Claim.of(..., name=...).")


@dataclass(frozen=True, eq=False)
class Context:
    """What an experiment may use: the model, the data, a seed, an engine, its regimen and a progress bar."""

    model: Model
    quick: bool
    seed: int
    workers: int
    progress: Progress
    engine: str = "auto"
    regimen: str = ""
    used_data: dict[str, str] = field(default_factory=dict)

    def data(self, name: str) -> pd.DataFrame:
        """Return a data file by ``folder/file`` name, checked against its checksum and noted in the manifest."""
        self.used_data[name] = str(data_source(name)["sha256"])
        return read_data(name)


#: What answers the question of an experiment.
Answer = Callable[[Context], Outcome]


@dataclass(frozen=True, eq=False)
class Experiment:
    """A registered experiment: its question, and the functions that answer and draw it."""

    id: str
    title: str
    question: str
    source: str
    answer: Answer
    figures: Callable[[Outcome], dict[str, Figure | str]] | None
    regimen: str = ""


_PENDING: list[dict[str, Any]] = []


def experiment(title: str, question: str, source: str, regimen: str = "") -> Callable[[Answer], Answer]:
    """Register the function below as the experiment of its file; the id is the file name.

    `regimen` is what ``ctx.regimen`` gives unless the command line says otherwise; without it none can be chosen.
    """

    def register(function: Answer) -> Answer:
        said = {"title": title, "question": question, "source": source, "regimen": regimen}
        _PENDING.append(said | {"answer": function})
        return function

    return register


def experiment_names() -> list[str]:
    """Return the ids of all experiments, without importing them."""
    return sorted(p.stem for p in experiments_dir().glob("*.py") if not p.stem.startswith("_"))


def get_experiment(name: str | Path) -> Experiment:
    """Import one experiment file: a shipped one by its id, or one's own by its path.

    Raises
    ------
    UnknownName
        If there is no such file.
    ModelError
        If the file does not register exactly one experiment.
    """
    shipped = {known.casefold(): known for known in experiment_names()}
    own = Path(name)
    if own.suffix == ".py" and own.is_file():
        path = own.resolve()
    elif str(name).casefold() in shipped:
        path = experiments_dir() / f"{shipped[str(name).casefold()]}.py"
    else:
        remedy = "List them with `metabolism list`, or give the path of your own .py file."
        raise UnknownName("experiment", str(name), experiment_names(), remedy)
    spec = importlib.util.spec_from_file_location(f"metabolism_experiment_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _PENDING.clear()
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError, NameError) as error:
        raise ModelError(f"'{path}' cannot be imported: {error}.") from None
    if len(_PENDING) != 1:
        raise ModelError(f"'{path}' must have exactly one function with @experiment(...), it has {len(_PENDING)}.")
    return Experiment(id=path.stem, figures=getattr(module, "figures", None), **_PENDING.pop())


def new_experiment(name: str, folder: Path = Path()) -> Path:
    """Write the file of a new experiment, which runs as it is, and return its path.

    Parameters
    ----------
    name : str
        Its id: a Python name.
    folder : Path

    Raises
    ------
    InvalidValue
        If the name is not one.
    OutputError
        If the file exists, or cannot be written.
    """
    if not name.isidentifier():
        raise InvalidValue(f"'{name}' is no id of an experiment; use letters, digits and _, e.g. my_question.")
    template = Path(__file__).parent / "templates" / "experiment.py.txt"
    text = template.read_text(encoding="utf-8").replace("{name}", name)
    return write_text(check_target(folder / f"{name}.py"), text)


def known_gaps() -> dict[str, str]:
    """Return claims known to fail, as ``experiment.claim`` to the reason (``experiments/known_gaps.toml``)."""
    with (experiments_dir() / "known_gaps.toml").open("rb") as handle:
        gaps = tomllib.load(handle)
    return {f"{e}.{c}": reason for e, claims in gaps.items() for c, reason in claims.items()}


def run(
    name: str,
    model: Model | None = None,
    *,
    out: str | Path | None = None,
    quick: bool = False,
    seed: int = 1,
    workers: int = 1,
    progress: Progress = silent,
    engine: str = "auto",
    regimen: str | None = None,
) -> tuple[Outcome, Path]:
    """Run an experiment and write its folder: manifest, netCDF, CSV tables, figures, report.

    Parameters
    ----------
    name : str
        Id of a shipped experiment, or the path of one's own file.
    model : Model, optional
        Model to use in place of the shipped one.
    out : path, optional
        Folder for results; ``results`` in the working directory by default.
    quick : bool
        The same code path on a smaller cohort.
    engine : str
        Passed to `simulate`.
    regimen : str, optional
        In place of the one an experiment is declared with.

    Raises
    ------
    UsageError
        If a regimen is given to an experiment that is declared with none, because its question names the doses.

    Returns
    -------
    outcome : Outcome
    folder : Path
        ``<out>/<name>/<stamp>``; it appears only when complete.
    """
    from metabolism.report.pages import previous_run, write_report

    chosen = get_experiment(name)
    check_engine(engine)
    name = chosen.id
    if regimen and not chosen.regimen:
        own = "an experiment of your own takes it when declared so: @experiment(..., regimen=...), ctx.regimen"
        raise UsageError(f"'{name}' asks about doses of its own and takes no --regimen; {own}.")
    Regimen.parse(regimen or "none")
    base = Path(out or "results") / name
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S_%fZ")
    with complete_folder(base / stamp) as folder:
        context = Context(model or load(), quick, seed, workers, progress, engine, regimen or chosen.regimen)
        begun, used = datetime.now(UTC), context.model
        outcome = chosen.answer(context)
        outcome = replace(outcome, notes=[*outcome.notes, *experiment_texts(name).get("notes", [])])
        manifest = {
            **{"experiment": name, "title": chosen.title, "question": chosen.question, "answer": outcome.answer},
            **{"notes": outcome.notes, "tables": list(outcome.tables)},
            **{"quick": quick, "seed": seed, "workers": workers, "engine": engine, "regimen": context.regimen},
            **{"model": used.id, "model_hash": used.structure_hash, "parameter_hash": used.parameter_hash},
            **{"changed": dict(used.changed), "sets": list(used.sets)},
            "data_sha256": context.used_data,
            "runs": {key: result.manifest for key, result in outcome.results.items()},
            "claim_order": [c.id for c in outcome.claims],
            "claims": {c.id: {**asdict(c), "holds": c.holds} for c in outcome.claims},
            "citations": citations([*chosen.source.split(";"), *outcome.cited, *(c.source for c in outcome.claims)]),
            "versions": versions(),
            "created": begun.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - begun).total_seconds(), 2),
        }
        _write(folder, chosen, outcome, manifest)
        write_report(folder, known_gaps(), previous_run(folder))
    return outcome, base / stamp


def _write(folder: Path, chosen: Experiment, outcome: Outcome, manifest: dict[str, Any]) -> None:
    from metabolism.plotting import save_figure, style

    write_text(folder / "manifest.json", manifest_text(manifest) + "\n")
    for key, result in outcome.results.items():
        result.save(folder / f"{key}.nc")
    (folder / "tables").mkdir()
    for key, table in outcome.tables.items():
        table.to_csv(folder / "tables" / f"{key}.csv", index=False)
    (folder / "figures").mkdir()
    if chosen.figures:
        # drawn from what was saved, so that the files alone can reproduce the figures
        outcome.results = {key: Result.load(folder / f"{key}.nc") for key in outcome.results}
        with style():
            for key, figure in chosen.figures(outcome).items():
                save_figure(figure, folder / "figures" / key)
