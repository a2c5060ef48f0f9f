"""How a regimen slows the loss of motor units in each virtual patient: coupled runs, then exact reuse.

In ``models/motor_neuron.ant`` motor units fall at the rate ``MN_k (1 - effect_hcy)(1 - effect_direct)``, and neither
effect depends on ``MN_k`` or on the motor units. So with the relative loss ``G(t)``, the integral of
``(1 - effect_hcy)(1 - effect_direct)``, motor units are ``N(0) exp(-MN_k G(t))`` for any loss rate, and because the
direct effect is linear in its maximum, ``G = A - Emax B`` for any size of effect. A few hundred coupled runs, cobalamin
to motor units, therefore serve any number of trials exactly; a test compares this with the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.dosing import Regimen, plan
from metabolism.model import Model
from metabolism.progress import Tick, unseen
from metabolism.simulation import simulate
from metabolism.trials.design import Design
from metabolism.trials.disease import HOURS_PER_WEEK
from metabolism.trials.effects import OWN_BASELINE
from metabolism.trials.limits import inside
from metabolism.trials.patients import BODY, BODY_PARAMETERS, Generator, body_latents, normals, plausibility
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


#: Spacing of the relative-loss grid [h].
STEP = 84.0


#: Relative tolerance of the coupled runs; the trial endpoint is rounded to whole points.
POOL_RTOL = 1e-6


@dataclass(frozen=True, eq=False)
class Bodies:
    """Virtual patients without a disease, at rest.

    Attributes
    ----------
    people : DataFrame
        Demographics, parameters and the resting ``hcy_plasma`` and ``cbl_plasma`` [µM].
    drawn : int
        How many were drawn.
    refused : dict of str to int
        How many each plausibility rule refused, and how many found no rest.
    """

    people: pd.DataFrame
    drawn: int
    refused: dict[str, int]

    @property
    def acceptance(self) -> float:
        """Share of drawn bodies that were plausible and found rest."""
        return len(self.people) / self.drawn


def bodies(model: Model, count: int, seed: int, table: str | None = None) -> Bodies:
    """Draw bodies, bring each to rest, and keep the plausible ones.

    Parameters
    ----------
    count : int
        Number drawn, not number kept.
    table : str, optional
        Path of a user's means and SDs; see `metabolism.trials.patients.Generator.of`.
    """
    drawn = Generator.of(model, table).bodies(normals(count, len(BODY), seed))
    rest = simulate(
        model,
        None,
        STEP,
        outputs=["hcy_plasma", "cbl_plasma"],
        times=[0.0],
        patients=drawn[list(BODY_PARAMETERS)],
        rtol=POOL_RTOL,
    )
    for name in ("hcy_plasma", "cbl_plasma"):
        drawn[name] = rest[name].values[:, 0]
    failed = rest.data["failed"].values != 0
    rules = plausibility(drawn)
    refused = rules.refused | {"no resting state": int(failed.sum())}
    return Bodies(drawn[rules.keep & ~failed].reset_index(drop=True), count, refused)


@dataclass(frozen=True, eq=False)
class Slowing:
    """Relative loss of motor units under one regimen, per body: ``G = homocysteine - Emax x direct``.

    Attributes
    ----------
    homocysteine, direct : ndarray, shape (bodies, times)
        The integrals A and B [h] on a grid with spacing `STEP` from 0.
    failed : ndarray of bool, shape (bodies,)
        Bodies whose coupled run failed.
    """

    homocysteine: Array
    direct: Array
    failed: NDArray[np.bool_]

    def loss(self, maximum: float) -> Array:
        """Relative loss G for a maximum of the direct effect, shape (bodies, times) [h]."""
        return self.homocysteine - maximum * self.direct

    def reduction(self, maximum: float, weeks: float) -> Array:
        """Mean reduction of the loss rate over the first weeks, by body [fraction]."""
        place = round(weeks * HOURS_PER_WEEK / STEP)
        return np.asarray(1 - self.loss(maximum)[:, place] / (place * STEP))


def untreated(count: int, hours: float) -> Slowing:
    """Relative loss without treatment: time itself, because a patient at rest stays at rest."""
    grid = _grid(hours)
    return Slowing(np.tile(grid, (count, 1)), np.zeros((count, len(grid))), np.zeros(count, dtype=bool))


def _grid(hours: float) -> Array:
    return np.arange(0.0, np.ceil(hours / STEP) * STEP + 1, STEP)


def slowing(
    model: Model,
    regimen: str,
    beta_hcy: float,
    people: pd.DataFrame,
    hours: float,
    *,
    missed: float = 0.0,
    seed: int = 1,
    workers: int = 1,
    tick: Tick = unseen,
) -> Slowing:
    """Run bodies through the coupled model and record their relative loss.

    Parameters
    ----------
    regimen : str
    beta_hcy : float
        Elasticity of the loss rate to plasma homocysteine.
    people : DataFrame
        Bodies with the columns of `metabolism.trials.patients.BODY_PARAMETERS`.
    hours : float
        Length of treatment [h].
    missed : float
        Probability that a dose is missed.
    """
    inside("missed", missed, "[0, 1)")
    inside("beta_hcy", beta_hcy, "[0, 100]")
    # what follows divides by it, and a cohort draws its own
    inside("MN_k", model.values["MN_k"], "[1e-07, 0.01] per hour, as in the set als_patient")
    grid = _grid(hours)
    doses = Regimen.parse(regimen).until(float(grid[-1]))
    kept = (
        np.random.default_rng([seed, 77]).random((len(people), len(plan(doses, 0.0, float(grid[-1])).boluses)))
        >= missed
    )
    probe = 0.5
    losses, failed = [], np.zeros(len(people), dtype=bool)
    for maximum in (0.0, probe):
        run = simulate(
            model.with_values(MN_beta_hcy=beta_hcy, MN_Emax=maximum),
            doses,
            float(grid[-1]),
            outputs=["motor_units"],
            times=grid,
            patients=people[list(BODY_PARAMETERS)],
            own_baseline=OWN_BASELINE,
            dose_scale=kept.astype(float),
            rtol=POOL_RTOL,
            workers=workers,
            tick=tick,
        )
        units = run["motor_units"].values
        losses.append(np.log(units[:, :1] / units) / model.values["MN_k"])
        failed |= run.data["failed"].values != 0
    return Slowing(losses[0], (losses[0] - losses[1]) / probe, failed)


#: A table as arrays: pandas would cost more than the simulation.
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Bodies and their relative loss under each arm of a design, for one elasticity to homocysteine.

    Attributes
    ----------
    generator : Generator
        Draws the diseases.
    bodies : Bodies
        Those whose coupled runs all succeeded, in `usable`.
    slowings : tuple of Slowing
        One per arm.
    usable : ndarray of int
        Bodies without a failed run.
    """

    generator: Generator
    bodies: Bodies
    slowings: tuple[Slowing, ...]
    usable: NDArray[np.int64]

    @cached_property
    def latents(self) -> Array:
        """Latents of all bodies, shape (bodies, latents)."""
        return body_latents(self.bodies.people)

    @cached_property
    def columns(self) -> Columns:
        """Columns of all bodies as arrays, without the latents."""
        found = {str(c): self.bodies.people[c].to_numpy() for c in self.bodies.people if not str(c).startswith("_")}
        return {k: v if v.dtype.kind in "fib" else v.astype(str) for k, v in found.items()}

    @cached_property
    def riluzole(self) -> NDArray[np.bool_]:
        """Which bodies take riluzole."""
        return self.bodies.people["riluzole"].to_numpy(dtype=bool)

    @property
    def failed(self) -> int:
        """Bodies lost to a failed coupled run."""
        return len(self.bodies.people) - len(self.usable)


def make_pool(
    model: Model,
    design: Design,
    beta_hcy: float,
    *,
    size: int = 512,
    seed: int = 1,
    workers: int = 1,
    tick: Tick = unseen,
    table: str | None = None,
    drawn: Bodies | None = None,
    done: dict[tuple[str | None, float, float], Slowing] | None = None,
) -> Pool:
    """Run a pool of bodies through the coupled model under every arm of a design.

    Parameters
    ----------
    model : Model
        The patient model, e.g. ``load().with_set("als_patient")``.
    beta_hcy : float
        Elasticity of the loss rate to plasma homocysteine.
    size : int
        Bodies drawn.
    table : str, optional
        Path of a user's means and SDs; see `metabolism.trials.patients.Generator.of`.
    drawn : Bodies, optional
        Bodies to use again, so that two pools differ in nothing but the elasticity.
    done : dict, optional
        Coupled runs by regimen, length [h] and missed doses, to share between designs with the same bodies, elasticity
        and seed; new ones are added.
    """
    crowd = drawn or bodies(model, size, seed, table)
    done = {} if done is None else done
    runs = []
    for arm in design.arms:
        key = (arm.regimen, design.hours, design.missed_doses)
        if key not in done:
            done[key] = (
                untreated(len(crowd.people), design.hours)
                if arm.regimen is None
                else slowing(
                    model,
                    arm.regimen,
                    beta_hcy,
                    crowd.people,
                    design.hours,
                    missed=design.missed_doses,
                    seed=seed,
                    workers=workers,
                    tick=tick,
                )
            )
        runs.append(done[key])
    failed = np.any([s.failed for s in runs], axis=0)
    return Pool(Generator.of(model, table), crowd, tuple(runs), np.flatnonzero(~failed))
