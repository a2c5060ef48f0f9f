"""Many patients at once: one model compiled to vector code, and an integration loop in which patients share nothing.

From equations to numbers in four steps: ``code`` turns the symbols of a model into LLVM functions (rates, Jacobian with
its LU factors, rules), ``loop`` writes the functions that step through time (method, step size, dense output, running
endpoints), ``compile`` builds both once and ``cache`` keeps the machine code on disk, and ``run`` lays a problem out
in chunks and calls it. ``engine`` is the door of `metabolism.engines` to all that; ``slopes`` differentiates along the
steps of the unperturbed patient. ``layout`` is what compiled code and caller agree on.

If one part of a model drives the rest and is not driven by it (cobalamin is, here), each part has steps of its own:
the first records its course and the second reads it.
"""
