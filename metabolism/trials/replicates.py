"""Many replicates of a virtual trial: in chunks, on several processes, resumable, every failure counted."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metabolism.files import Parts
from metabolism.processes import following
from metabolism.progress import Tick, unseen
from metabolism.trials.analysis import analyse, benefit
from metabolism.trials.calendar import Conduct, conduct
from metabolism.trials.design import Design
from metabolism.trials.limits import inside
from metabolism.trials.mmrm import Estimate
from metabolism.trials.pool import Pool
from metabolism.trials.trial import Trial, simulate_trial
from metabolism.types import Array, in_brief

if TYPE_CHECKING:
    import pandas as pd


CHUNK = 25


#: What an estimate consists of.
ESTIMATE = tuple(f.name for f in fields(Estimate))


@dataclass(frozen=True, eq=False)
class Replicates:
    """A table of replicates.

    Attributes
    ----------
    table : DataFrame
        One row per replicate: number, candidates, randomised, completers, events, and each analysis as
        ``<analysis>:<arm or difference>:<value, se, df, p, low, high>`` with ``<analysis>:failed``. With an accrual,
        also ``months``, and ``<arm>:<look, reason, shown, months, patients>`` of each active arm.
    failed_bodies : int
        Bodies of the pool whose coupled run failed; they take no part.
    resumed : int
        Replicates that an earlier, interrupted run had finished.
    """

    table: pd.DataFrame
    failed_bodies: int
    resumed: int

    def __repr__(self) -> str:
        return in_brief(
            self,
            f"{len(self.table)} replicates, {len(self.table.columns)} columns in .table",
            f"{self.failed_bodies} bodies failed" if self.failed_bodies else "",
        )

    def failures(self, analysis: str) -> int:
        """Replicates in which an analysis could not be fitted."""
        return int((self.table[f"{analysis}:failed"] != "").sum())

    def power(self, analysis: str, contrast: str, alpha: float = 0.05) -> float:
        """Share of replicates significant in favour of treatment; failed fits count as not significant."""
        column = f"{analysis}:{contrast}"
        good = benefit(analysis, self.table[f"{column}:value"].to_numpy(dtype=float)) > 0
        return float(((self.table[f"{column}:p"] < alpha) & good).mean())


def replicate(
    pool: Pool,
    design: Design,
    maximum: float | Array,
    count: int,
    *,
    seed: int = 1,
    analyses: tuple[str, ...] | None = None,
    reduction: float | Array | None = None,
    folder: str | Path | None = None,
    workers: int = 1,
    tick: Tick = unseen,
    shuffle: bool = False,
) -> Replicates:
    """Run and analyse replicates of a trial.

    Parameters
    ----------
    pool : Pool
    maximum : float or ndarray, shape (count,) or (count, arms)
        Maximum of the direct path (Emax); one for each replicate where the effect itself is uncertain, and for each arm
        where arms differ in theirs.
    count : int
        Number of replicates; replicate ``i`` depends on ``(seed, i)`` alone, so neither chunks nor processes matter.
    analyses : tuple of str, optional
        The design's primary by default, and always with an accrual.
    reduction : float or ndarray, shape (count,) or (count, arms), optional
        Reduction of the loss rate in comparator arms; see `metabolism.trials.trial.simulate_trial`.
    folder : path, optional
        Where finished chunks are kept. A later call with the same request continues there and gives the same table to
        the last bit; a different request is refused.
    shuffle : bool
        Permute the arm labels before the analysis: a negative control, of trials without accrual.

    Raises
    ------
    UsageError
        If the folder belongs to another request.
    """
    import pandas as pd
    from joblib import Parallel, delayed

    inside("replicates", count, "whole [1, 10000000]")
    chosen = analyses or (design.primary,)
    maxima = _each(maximum, count)
    reductions = None if reduction is None else _each(reduction, count)
    parts = None
    if folder is not None:
        parts = Parts(Path(folder), request_hash(pool, design, maxima, seed, chosen, shuffle, reductions))
    bounds = [(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
    kept = {b: parts.read(_name(b)) for b in bounds} if parts else {}
    done = {b: pd.DataFrame(rows) for b, rows in kept.items() if rows is not None}
    resumed = sum(len(f) for f in done.values())
    tick(resumed)
    todo = [b for b in bounds if b not in done]
    work = (delayed(_chunk)(pool, design, (maxima, reductions), seed, chosen, b, shuffle, parts) for b in todo)
    # starting a process costs more than a few chunks do
    jobs = min(workers, len(todo) // 8)
    shared = Parallel(n_jobs=max(jobs, 1), return_as="generator", **following())
    finished = shared(work) if jobs > 1 else (f(*a, **k) for f, a, k in work)
    for bound, frame in zip(todo, finished, strict=True):
        done[bound] = frame
        tick(len(frame))
    table = pd.concat([done[b] for b in bounds], ignore_index=True)
    return Replicates(table, pool.failed, resumed)


def _each(effect: float | Array, count: int) -> Array:
    """Effect of every replicate, shape (count,) or (count, arms)."""
    given = np.asarray(effect, dtype=float)
    return np.broadcast_to(given, (count, *given.shape[1:]))


def _chunk(
    pool: Pool,
    design: Design,
    effects: tuple[Array, Array | None],
    seed: int,
    analyses: tuple[str, ...],
    bound: tuple[int, int],
    shuffle: bool,
    parts: Parts | None,
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for number in range(*bound):
        rng = np.random.default_rng([seed, number])
        maximum, reduction = (None if e is None else e[number] for e in effects)
        assert maximum is not None
        if design.accrual is not None:
            rows.append(_row_in_time(number, conduct(pool, design, maximum, rng, reduction)))
            continue
        trial = simulate_trial(pool, design, maximum, rng, reduction)
        if shuffle:
            trial = replace(trial, arm=rng.permutation(trial.arm))
        rows.append(_row(number, trial) | _analysed(trial, analyses))
    if parts:
        # written here and not by the parent, so that an interruption loses no finished chunk
        parts.write(_name(bound), rows)
    return pd.DataFrame(rows)


def _row(number: int, trial: Trial) -> dict[str, float | str]:
    counts = trial.counts
    row: dict[str, float | str] = {
        "replicate": number,
        "candidates": counts["candidates"],
        "randomised": len(trial.arm),
        "pass rate": counts["in run-in window"] / counts["above the score floor"],
        "completers": int(np.isfinite(trial.rated[:, -1]).sum()),
        "events": int(trial.event.sum()),
    }
    last = trial.change[:, -1]
    for i, arm in enumerate(trial.design.arms):
        mine = last[(trial.arm == i) & np.isfinite(last)]
        row[f"mean change:{arm.name}"] = float(mine.mean()) if len(mine) else float("nan")
        row[f"sd change:{arm.name}"] = float(mine.std(ddof=1)) if len(mine) > 1 else float("nan")
    return row


def _analysed(trial: Trial, analyses: tuple[str, ...]) -> dict[str, float | str]:
    row = analyse(trial, analyses)
    if trial.design.early_share is not None:
        months = trial.people["onset_months"]
        early = trial.part(months <= np.quantile(months, trial.design.early_share))
        row |= {"early patients": len(early.arm)} | {f"early {k}": v for k, v in analyse(early, ("survival",)).items()}
    return row


def _row_in_time(number: int, done: Conduct) -> dict[str, float | str]:
    design = done.trial.design
    row = _row(number, done.trial) | {"months": done.months}
    row["candidates"] = done.trial.counts["candidates"] * len(done.trial.arm) / done.drawn
    failed = [v.failed for v in done.verdicts.values() if v.failed]
    row[f"{design.primary}:failed"] = failed[0] if failed else ""
    for arm, verdict in done.verdicts.items():
        record = asdict(verdict)
        estimate, _ = record.pop("estimate"), record.pop("failed")
        row |= {f"{arm}:{k}": v for k, v in record.items()}
        if estimate is None:
            estimate = dict.fromkeys(ESTIMATE, math.nan)
        column = f"{design.primary}:{arm} - {design.arms[design.control].name}"
        row |= {f"{column}:{k}": v for k, v in estimate.items()}
    return row


def request_hash(
    pool: Pool,
    design: Design,
    maxima: Array,
    seed: int,
    analyses: tuple[str, ...],
    shuffle: bool,
    reductions: Array | None = None,
) -> str:
    """Hash of everything a table of replicates depends on.

    Parameters
    ----------
    maxima, reductions : ndarray, shape (count,)
        Effect of each replicate; the other parameters are those of `replicate`.
    """
    digest = hashlib.sha256()
    model = pool.generator.model
    digest.update(
        json.dumps(
            [
                model.structure_hash,
                model.parameter_hash,
                design.text(),
                maxima.tolist(),
                None if reductions is None else reductions.tolist(),
                seed,
                analyses,
                shuffle,
                sorted(pool.generator.values.items()),
            ]
        ).encode()
    )
    for array in (
        pool.bodies.people.select_dtypes("number").to_numpy(dtype=float),
        *(a for s in pool.slowings for a in (s.homocysteine, s.direct)),
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _name(bound: tuple[int, int]) -> str:
    return f"replicates_{bound[0]:06d}_{bound[1]:06d}"
