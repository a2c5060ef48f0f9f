"""An executable model of human one-carbon metabolism, methylcobalamin dosing and ALSFRS-R decline.

>>> import metabolism as mb
>>> result = mb.simulate(mb.load(), "50 mg im every 3.5 d x 32", until="16 weeks")
>>> result["hcy_plasma"].dims, result["hcy_plasma"].attrs["units"]
(('time',), 'uM')

Public names are imported on first use, so that ``import metabolism`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PUBLIC = {
    "draws": "model.uncertainty",
    "load": "model.model",
    "Model": "model.model",
    "Dose": "dosing.events",
    "Regimen": "dosing.regimen",
    "simulate": "simulation.run",
    "scan": "sweep.workers",
    "Sweep": "sweep.store",
    "steady_state": "simulation.rest",
    "endpoints_of": "simulation.run",
    "sensitivities": "simulation.run",
    "steady_states": "simulation.run",
    "Result": "simulation.result",
    "run": "report.registry",
    "experiment": "report.registry",
    "Claim": "report.claims",
    "Outcome": "report.registry",
    "export": "exports.formats",
    "ensemble": "ensembles.members",
}
_NAMESPACES = {
    "sensitivity": "sensitivity",
    "analysis": "trials.analysis",
    "design": "trials.design",
    "effects": "trials.effects",
    "endpoints": "simulation.endpoints",
    "factors": "sensitivity.factors",
    "fisher_information": "sensitivity.fisher",
    "identifiability": "sensitivity.identifiability",
    "local_sensitivity": "sensitivity.local",
    "mmrm": "trials.mmrm",
    "patients": "trials",
    "plotting": "plotting",
    "population": "trials.screening",
    "power": "trials.power",
    "profile_likelihood": "fit.posterior",
    "replicates": "trials.replicates",
    "sensitivity_plots": "sensitivity.plots",
    "slowing": "trials.pool",
    "trial": "trials",
}

__all__ = [*sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"metabolism.{_PUBLIC[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("als-methionine")
    if name in _NAMESPACES:
        return import_module(f"metabolism.{_NAMESPACES[name]}")
    raise AttributeError(f"module 'metabolism' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_NAMESPACES, "__version__"])
