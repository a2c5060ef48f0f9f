"""Coefficients of L-stable Rosenbrock methods with embedded error estimate and dense output.

Written in the transformed variables of Hairer and Wanner, Solving Ordinary Differential Equations II
(1996), section IV.7, for an autonomous system ``y' = f(y)`` with Jacobian J, step h and stages ``U``::

    (I / (h gamma) - J) U_i = f(y + sum_j A_ij U_j) + sum_j C_ij U_j / h
    y_new = y + sum_j m_j U_j,   error = U_last

Dense output at ``y(t + s h)``, with ``D_r = sum_j H_rj U_j``::

    (1 - s) y + s (y_new + (1 - s) (D_1 + s (D_2 + s D_3)))

The tests check every set against the order conditions, so a wrong digit cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabolism.types import Array

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Rosenbrock:
    """A stiffly accurate Rosenbrock method whose last stage is the error estimate.

    Attributes
    ----------
    name : str
    gamma : float
        Diagonal coefficient.
    a, c : tuple of tuple of float
        Strictly lower triangles of A and C, row by row.
    h : tuple of tuple of float
        Rows of the dense output.
    order : int
        Order of the solution; the embedded solution has one less.
    """

    name: str
    gamma: float
    a: Rows
    c: Rows
    h: Rows
    order: int

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.a)

    @property
    def names(self) -> list[str]:
        """Names of the stages."""
        return [f"u{j}" for j in range(self.stages)]

    @property
    def m(self) -> tuple[float, ...]:
        """Weights of the solution: the last row of A, then 1 for the last stage (stiffly accurate)."""
        return (*self.a[-1], 1.0)

    def times(self) -> tuple[Array, Array]:
        """Return, for each stage, the fraction of the step at which rates are taken, and the weight of their change.

        A stage of ``y' = f(t, y)`` takes f at ``t + alpha_i h`` and adds ``h gamma_i df/dt`` (Hairer and Wanner IV.7).
        """
        alpha, beta, _ = self.classical()
        return alpha.sum(axis=1), (beta - alpha).sum(axis=1)

    def classical(self) -> tuple[Array, Array, Array]:
        """Return (alpha, beta, b), the coefficients the order conditions are written in.

        Returns
        -------
        alpha, beta : ndarray, shape (stages, stages)
        b : ndarray, shape (stages,)
        """
        a, c = (_square(rows, self.stages) for rows in (self.a, self.c))
        gammas = np.linalg.inv(np.eye(self.stages) / self.gamma - c)
        alpha = a @ gammas
        return alpha, alpha + gammas, np.array(self.m) @ gammas


def _square(rows: Rows, size: int) -> Array:
    matrix = np.zeros((size, size))
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


#: Steinebach 2023, Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the
#: Julia Differential Equations package, BIT Numerical Mathematics 63:27, doi:10.1007/s10543-023-00967-x.
RODAS5P = Rosenbrock(
    "Rodas5P",
    0.21193756319429014,
    (
        (),
        (3.0,),
        (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946),
        (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946, 1.0),
        (
            -7.502846399306121,
            2.561846144803919,
            -11.627539656261098,
            -0.18268767659942256,
            0.030198172008377946,
            1.0,
            1.0,
        ),
    ),
    (
        (),
        (-14.155112264123755,),
        (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
        (
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
    (
        (
            25.948786856663858,
            -2.5579724845846235,
            10.433815404888879,
            -2.3679251022685204,
            0.524948541321073,
            1.1241088310450404,
            0.4272876194431874,
            -0.17202221070155493,
        ),
        (
            -9.91568850695171,
            -0.9689944594115154,
            3.0438037242978453,
            -24.495224566215796,
            20.176138334709044,
            15.98066361424651,
            -6.789040303419874,
            -6.710236069923372,
        ),
        (
            11.419903575922262,
            2.8879645146136994,
            72.92137995996029,
            80.12511834622643,
            -52.072871366152654,
            -59.78993625266729,
            -0.15582684282751913,
            4.883087185713722,
        ),
    ),
    5,
)
