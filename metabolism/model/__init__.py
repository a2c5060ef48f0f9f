"""What the model is, and where each number comes from: text, table, sources, uncertainty.

Structure stands in ``models/*.ant``, numbers in ``models/parameters.csv``, named overrides in ``models/sets``. This
room alone reads them. It builds one flat, annotated SBML document; everything else in the house works on that
document and on values by name.

Nouns: `Model` (one structure and one set of values, immutable), `Parameter` (a number with unit, bounds, source and
confidence), `ParameterTable`, `ParameterSet` (``als_patient``, ``b12_deficient``, ...), a *draw* (a table of values
from the posterior of the fits), *closure* (the capacities that follow from the reference state).

>>> from metabolism.model import load
>>> model = load()
>>> model.table["hcy_plasma"].unit, model.table["hcy_plasma"].confidence
('uM', 'A')
>>> patient = model.with_set("als_patient").with_values(GFR_rel=0.5)
>>> patient.sets, patient.changed["GFR_rel"], model.changed
(('als_patient',), 0.5, mappingproxy({}))

Begin with `load`; a changed model is a new model, `load` always gives the shipped one. `describe` says everything known
of one id, `citation` writes a reference out, `draws` gives tables of uncertain values for `simulate`.

For the developer: a number is one row of the table. Values that follow from others (``derived``) are computed by
`closure` and written by ``metabolism check --rewrite``; `stale_rows` names those that are not current.

What it does not know: time, doses, engines. A resting state is asked of `metabolism.simulation.steady_state`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
