"""Many members of any kinetic model at once: yours, from SBML or Antimony, or the one that ships.

You have a model file and a table of parameter values, a prior, or a range for some of them, and you want thousands of
runs rather than one. Open the file, and ask:

>>> from metabolism.ensembles import ensemble
>>> ens = ensemble("S1 = 10; S2 = 0; k1 = 0.1; k2 = 0.2; J1: S1 -> S2; k1*S1; J2: S2 -> ; k2*S2")
>>> members = ens.draws({"k1": "lognormal(0.1, 0.3)", "k2": "uniform(0.1, 0.3)"}, n=1000)
>>> result = ens.simulate(members, until=50)  # time and units are those of your file
>>> result["S2"].dims, result["S2"].shape
(('patient', 'time'), (1000, 201))

Nouns: `Ensemble` (the model opened: ``states``, ``parameters``, ``values``, ``units``), a *member* (the model with
values of its own: one row of a table; results call it ``patient``), and the results of the house. Verbs of the
ensemble: ``simulate``, ``endpoints`` (numbers, no curves), ``steady_states``, ``sensitivities`` (exact), ``scan``
(grids and tables of any size, resumable, on a cluster) and ``sobol``. A member comes out with the same bits alone, in
any batch, and on any number of threads; one that cannot be integrated is named and the others go on.

Begin with `ensemble`. A new file is checked, read and compiled in a process of its own, with limits of time and
memory; that takes a few seconds, once. What is not covered is refused by name before anything runs. `print` of the
ensemble lists what the file holds and what was remarked.

What it does not know: homocysteine. The model that ships goes through the same door, ``ensemble(load())``.
"""

from typing import Any

import lazy_loader

from metabolism import simulation

_offered, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    # these had this path before the members of other models did
    if name in ("Endpoint", "endpoints_of", "sensitivities", "steady_states"):
        return getattr(simulation, name)
    return _offered(name)
