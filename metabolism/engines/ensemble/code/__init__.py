"""A model as vector LLVM IR: what does not depend on how time is stepped.

``symbols`` prepares expressions (powers, constants taken out, elimination order), ``cascade`` splits a model into the
part that drives and the part that is driven, ``ir`` writes lane-wise arithmetic with its own exponential and
logarithm, ``kernel`` writes rates, Jacobian, LU and derived outputs, ``newton`` one step of the search for rest. One
patient is one lane of a vector; no function mixes lanes.
"""
