"""What is in an SBML file, as symbols: its equations, its rest, its control, its events. For anybody's SBML.

Nothing in this room knows our model, our units or our doses; all it knows is the text of a document. States, rates and
rules become sympy expressions, read from the document alone and therefore independently of libRoadRunner. Everything
else follows from those symbols: exact Jacobian, conserved moieties, resting state, control coefficients.

Nouns: `Equations` (the system: states, parameters, right-hand side, Jacobian), `Control` (control coefficients at a
resting state, with the violation of their theorems), a *fingerprint* (one JSON document of what any simulator must find
in the same file), a *replay* (the file run from its text alone, events included: the referee of exports).

Begin with `read_equations`:

>>> import antimony
>>> from metabolism.sbml import read_equations
>>> _ = antimony.loadAntimonyString("model decay; S = 10; k = 0.5; J: S -> ; k*S; end")
>>> system = read_equations(antimony.getSBMLString("decay"))
>>> system.states, system.parameters
(('S',), ('k', 'default_compartment'))
>>> system.jacobian
{(0, 0): -1.0*k/default_compartment}

Then `rest` brings a state vector to rest, `control_at` differentiates it there, `sbml_fingerprint` writes all of it
down and `differences` compares two such documents. A file from elsewhere goes through `file_fingerprint`, which
checks it first and reads it in a process of its own, with limits of time and memory.

To run a file, `read_document` reads the core of Level 2 and 3 as plain data, in the sandbox, and `general_equations`
makes `Equations` of it, events included; `start_values` says where each member begins. `single` writes submodels out.
Analysis reads less: `flatten` and `read_equations` refuse by name compartments that change and events with a delay.

What it does not do: it integrates no ensembles (`metabolism.engines`), writes no SBML (`metabolism.exports`), and no
reading takes algebraic rules, delayed values, fast reactions or other packages that change the mathematics.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
