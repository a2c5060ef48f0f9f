"""Stepping through time as vector LLVM IR: what does not depend on the model.

``method`` holds the coefficients, ``steps`` judges a step and proposes the next, ``driver`` is the loop over doses and
settings, ``record`` keeps the course of one part for the other, ``outputs`` reads values between steps, ``running``
computes endpoints on the way. Steps end at doses and settings only, never at output times, so that no result depends
on what else was asked for. Only what jumps by itself ends a step, too: ``turns`` finds where, and
``metabolism.engines.ensemble.events`` attends to it.
"""
