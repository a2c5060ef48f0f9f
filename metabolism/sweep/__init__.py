"""The same study for many rows of parameters: in this process, in several, or on a cluster, and resumable.

Runs are dealt out in parts of fixed size. Workers only compute; one process alone writes, and a finished part is
written once, whole or not at all. So a sweep that was killed goes on where it stopped, and its table is the same to
the last bit whatever the number of workers.

Nouns: *samples* (the rows to run: `Grid` for all combinations, `Table` for rows at hand, a Parquet file for more than
fits into memory), `Store` (the folder of finished parts with its manifest), `Sweep` (what comes out: parameters beside
endpoints, failures by name).

>>> from metabolism.sweep import Grid
>>> grid = Grid({"GFR_rel": (0.5, 1.0), "MN_k": (1e-5, 2e-5, 3e-5)})
>>> grid.shape, len(grid)
((2, 3), 6)
>>> grid.rows(3, 5)  # computed from the row number, the last parameter varying fastest
array([[1.e+00, 1.e-05],
       [1.e+00, 2.e-05]])

Begin with `scan`: a model, samples in whatever form is at hand, a regimen and endpoints. ``store="folder"`` keeps the
results, ``workers=4`` or ``cluster=...`` spreads them. ``docs/cluster.md`` tells of schedulers.

What it does not know: where samples come from. Random designs of sensitivity analysis are made in
`metabolism.sensitivity`, patients in `metabolism.trials`, draws in `metabolism.model`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
