"""Rival mechanisms before the same facts: which links from methylcobalamin to decline survive, and which experiment
would tell the survivors apart?

A mechanism is judged only through what it predicts. Each draw from its prior gives a prediction of every fact; the mean
likelihood over the draws is its marginal likelihood, and ratios of those are Bayes factors. Facts and their
correlations are tables in ``experiments/data``; bands, priors and selection are declared, and none is hidden.

Nouns: `Facts` (published facts, how each speaks and how they correlate), *mechanism* (one or two of `PARTS`: through
homocysteine, methylation, plasma, cerebrospinal fluid, gain of function, early only, waning), `Priors` (their scales),
`Response` (from a slower loss of motor units to points and hazard ratios), `Score` (what a mechanism earned).

>>> from metabolism.court import MECHANISMS, PARTS
>>> MECHANISMS["homocysteine + plasma"]
('homocysteine', 'plasma')
>>> PARTS["homocysteine"]
'loss rate follows plasma homocysteine'

Begin with ``metabolism run mechanisms``. In Python: `exposures` runs the coupled model once per regimen, `draw` draws
priors, `predictions` says what each mechanism expects, `score` and `posterior` weigh them, and `information` ranks
experiments by how far they would separate the survivors.

What it does not know: mechanisms nobody wrote down. A posterior weight is a share among rivals, not a probability that
one is true.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
