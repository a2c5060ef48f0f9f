"""An executable model of human one-carbon metabolism, methylcobalamin dosing and ALSFRS-R decline.

>>> import metabolism as mb
>>> result = mb.simulate(mb.load(), "50 mg im every 3.5 d x 32", until="16 weeks")
>>> result["hcy_plasma"].dims, result["hcy_plasma"].attrs["units"]
(('time',), 'uM')

Public names are imported on first use, so that ``import metabolism`` stays fast.
"""

from importlib import import_module
from typing import Any

#: What a user needs every day, by the room whose door offers it.
_ROOMS = {
    "model": "describe draws load Model",
    "dosing": "Dose Regimen",
    "simulation": "simulate steady_state endpoints_of sensitivities steady_states overlay Overlay Result",
    "sweep": "scan Sweep",
    "trials": "scenarios with_scenario",
    "report": "run experiment Claim Outcome",
    "exports": "export",
    "ensembles": "ensemble",
}
_PUBLIC = {name: room for room, names in _ROOMS.items() for name in names.split()}

#: Older names of rooms and their files, which notebooks use.
_NAMESPACES = {
    **{name: f"trials.{name}" for name in ("analysis", "design", "effects", "mmrm", "power", "replicates")},
    **{"patients": "trials", "population": "trials.screening", "slowing": "trials.pool", "trial": "trials"},
    **{"endpoints": "simulation.endpoints", "plotting": "plotting", "profile_likelihood": "fit.posterior"},
    **{"sensitivity": "sensitivity", "factors": "sensitivity.factors", "fisher_information": "sensitivity.fisher"},
    **{"identifiability": "sensitivity.identifiability", "local_sensitivity": "sensitivity.local"},
    **{"sensitivity_plots": "sensitivity.plots"},
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
