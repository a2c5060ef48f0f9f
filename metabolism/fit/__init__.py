"""Which parameter values do the data ask for? And how sure can one be of each?

A fit is a small file in ``models/fits``: which parameters, which rows of the cases, which priors. A residual is the
distance of a prediction from its published value in units of the band of its row; rows that must pass are constraints
of the search and leave the likelihood alone. Each candidate is closed again, so that its reference state rests.

Nouns: `Definition` (the file), `Objective` (definition and model, ready to be evaluated), `Fit` (the best point and how
it was reached), `Profile` (the likelihood along one parameter, with a verdict), `Sample` (weighted draws of the
posterior).

>>> from metabolism.fit import read_definition, shipped_fits
>>> all(read_definition(name).parameters for name in shipped_fits())
True

Begin with ``metabolism fit``, which takes the id of a shipped fit or a file.
 In Python: `read_definition`, then `Objective`, then `least_squares` from many
starts, `profiles` for what stays open, `sample` for draws. `write_fit` makes the folder of tables, and `adopt` puts
the values into ``models/parameters.csv`` with ``fit:<id>`` as their source. `write_fit_petab` says what of a fit other
tools can take over. `fit_problems` says whether what was
adopted is still what the definition gives.

What it does not do: it validates nothing. Check rows enter no fit; a pass there is told by `metabolism.cases`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
