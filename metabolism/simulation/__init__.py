"""What does the model do under this treatment? One patient or many, from rest, with numbers read off the curves.

Every run begins at the patient's own resting state, then the regimen acts, and outputs are reported at the times
asked for, whatever the steps of the engine. A ledger in every result compares what was asked with what arrived.

Nouns: `Study` (model, regimen, span, endpoints, engine and tolerance, checked once), `Result` (curves with units,
ledger and manifest), `SteadyState`, `Endpoint` (a number off a curve, as text).

>>> from metabolism.model import load
>>> from metabolism.simulation import peak, simulate, steady_state
>>> result = simulate(load(), "50 mg im", until="2 d", outputs=["cbl_plasma"])
>>> 0.5 < float(peak(result["cbl_plasma"])) < 3, result["cbl_plasma"].attrs["units"]
(True, 'uM')
>>> abs(steady_state(load()).values["hcy_plasma"] / load().values["hcy_plasma"] - 1) < 1e-6
True

Begin with `simulate`: it takes a model, a regimen in words and a span, and for many patients a table of
parameters. `steady_state` stops before the first dose. Where only numbers are wanted of many patients, `endpoints_of`
computes them while integrating and stores no curve; `sensitivities` differentiates curves and numbers by parameters.
An endpoint is text such as ``percent_change(hcy_plasma)``, ``auc(cbl_plasma)`` or ``change(alsfrs_r) vs untreated``;
`NAMED` lists those with names. `nca` reads a concentration curve as pharmacologists do.

What it does not do: it chooses no patients (`metabolism.trials`), no samples (`metabolism.sweep`) and judges nothing
(`metabolism.cases`, `metabolism.report`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
