"""The 65 instructions (Real et al. 2020, table S1), as one table.

A name starts with the type of what it writes. ``s`` is a scalar, ``v`` a vector of F numbers, ``m`` a matrix
of F x F; F is the number of features of the task. Nothing is protected: a division by zero gives infinity
or NaN, as in numpy.
"""

from __future__ import annotations

from typing import NamedTuple

(
    NO_OP, ADD, SUBTRACT, MULTIPLY, DIVIDE, ABS, RECIPROCAL, SIN, COS, TAN, ARCSIN, ARCCOS, ARCTAN, EXP, LOG,
    FROM_ZERO, ABOVE_ZERO, SCALE, FILL, DOT, OUTER, MATRIX_VECTOR, AS_ROWS, AS_COLUMNS, NORM, NORM_DOWN,
    NORM_ACROSS, TRANSPOSE, MATMUL, MINIMUM, MAXIMUM, MEAN, MEAN_DOWN, STD, STD_DOWN, SET, UNIFORM, NORMAL,
) = range(38)  # fmt: skip
"""What the interpreter computes. Several instructions share one: it works on memory of any size."""


class Op(NamedTuple):
    """One kind of instruction.

    Attributes:
        name: as it stands in a genome.
        inputs: types of the one or two addresses that are read.
        output: type of the address that is written; empty for ``no_op``.
        constants: one letter each: ``c`` any number, ``u`` a number in [0, 1) that stands for an index, of F.
        kernel: what the interpreter does.
        meaning: the value as NumPy, with the inputs {a} and {b}, the constants {c}, {d}, {e}, and the old
            value {o} of the output. ``uniform(shape)`` is in [0, 1), ``normal(shape)`` has mean 0 and
            deviation 1.
    """

    name: str
    inputs: str
    output: str
    constants: str
    kernel: int
    meaning: str

    @property
    def keeps(self) -> bool:
        """Does a part of the old output stay?"""
        return "{o}" in self.meaning


_TABLE = (
    Op("no_op", "", "", "", NO_OP, ""),
    Op("s_add", "ss", "s", "", ADD, "{a} + {b}"),
    Op("s_subtract", "ss", "s", "", SUBTRACT, "{a} - {b}"),
    Op("s_multiply", "ss", "s", "", MULTIPLY, "{a} * {b}"),
    Op("s_divide", "ss", "s", "", DIVIDE, "np.divide({a}, {b})"),
    Op("s_abs", "s", "s", "", ABS, "np.abs({a})"),
    Op("s_reciprocal", "s", "s", "", RECIPROCAL, "np.divide(1, {a})"),
    Op("s_sin", "s", "s", "", SIN, "np.sin({a})"),
    Op("s_cos", "s", "s", "", COS, "np.cos({a})"),
    Op("s_tan", "s", "s", "", TAN, "np.tan({a})"),
    Op("s_arcsin", "s", "s", "", ARCSIN, "np.arcsin({a})"),
    Op("s_arccos", "s", "s", "", ARCCOS, "np.arccos({a})"),
    Op("s_arctan", "s", "s", "", ARCTAN, "np.arctan({a})"),
    Op("s_exp", "s", "s", "", EXP, "np.exp({a})"),
    Op("s_log", "s", "s", "", LOG, "np.log({a})"),
    Op("s_heaviside", "s", "s", "", FROM_ZERO, "np.float64({a} >= 0)"),
    Op("v_heaviside", "v", "v", "", ABOVE_ZERO, "np.float64({a} > 0)"),
    Op("m_heaviside", "m", "m", "", ABOVE_ZERO, "np.float64({a} > 0)"),
    Op("v_scale", "sv", "v", "", SCALE, "{a} * {b}"),
    Op("v_fill", "s", "v", "", FILL, "np.full(F, {a})"),
    Op("v_reciprocal", "v", "v", "", RECIPROCAL, "np.divide(1, {a})"),
    Op("s_norm_v", "v", "s", "", NORM, "np.sqrt(np.sum({a} ** 2))"),
    Op("v_abs", "v", "v", "", ABS, "np.abs({a})"),
    Op("v_add", "vv", "v", "", ADD, "{a} + {b}"),
    Op("v_subtract", "vv", "v", "", SUBTRACT, "{a} - {b}"),
    Op("v_multiply", "vv", "v", "", MULTIPLY, "{a} * {b}"),
    Op("v_divide", "vv", "v", "", DIVIDE, "np.divide({a}, {b})"),
    Op("s_dot", "vv", "s", "", DOT, "np.sum({a} * {b})"),
    Op("m_outer", "vv", "m", "", OUTER, "np.outer({a}, {b})"),
    Op("m_scale", "sm", "m", "", SCALE, "{a} * {b}"),
    Op("m_reciprocal", "m", "m", "", RECIPROCAL, "np.divide(1, {a})"),
    Op("v_matrix_vector", "mv", "v", "", MATRIX_VECTOR, "np.sum({a} * {b}, axis=1)"),
    Op("m_rows", "v", "m", "", AS_ROWS, "np.tile({a}, (F, 1))"),
    Op("m_columns", "v", "m", "", AS_COLUMNS, "np.tile({a}[:, None], (1, F))"),
    Op("s_norm_m", "m", "s", "", NORM, "np.sqrt(np.sum({a} ** 2))"),
    Op("v_norm_down", "m", "v", "", NORM_DOWN, "np.sqrt(np.sum({a} ** 2, axis=0))"),
    Op("v_norm_across", "m", "v", "", NORM_ACROSS, "np.sqrt(np.sum({a} ** 2, axis=1))"),
    Op("m_transpose", "m", "m", "", TRANSPOSE, "{a}.T.copy()"),
    Op("m_abs", "m", "m", "", ABS, "np.abs({a})"),
    Op("m_add", "mm", "m", "", ADD, "{a} + {b}"),
    Op("m_subtract", "mm", "m", "", SUBTRACT, "{a} - {b}"),
    Op("m_multiply", "mm", "m", "", MULTIPLY, "{a} * {b}"),
    Op("m_divide", "mm", "m", "", DIVIDE, "np.divide({a}, {b})"),
    Op("m_matmul", "mm", "m", "", MATMUL, "np.sum({a}[:, :, None] * {b}, axis=1)"),
    Op("s_minimum", "ss", "s", "", MINIMUM, "np.minimum({a}, {b})"),
    Op("v_minimum", "vv", "v", "", MINIMUM, "np.minimum({a}, {b})"),
    Op("m_minimum", "mm", "m", "", MINIMUM, "np.minimum({a}, {b})"),
    Op("s_maximum", "ss", "s", "", MAXIMUM, "np.maximum({a}, {b})"),
    Op("v_maximum", "vv", "v", "", MAXIMUM, "np.maximum({a}, {b})"),
    Op("m_maximum", "mm", "m", "", MAXIMUM, "np.maximum({a}, {b})"),
    Op("s_mean_v", "v", "s", "", MEAN, "np.mean({a})"),
    Op("s_mean_m", "m", "s", "", MEAN, "np.mean({a})"),
    Op("v_mean_down", "m", "v", "", MEAN_DOWN, "np.mean({a}, axis=0)"),
    Op("v_std_down", "m", "v", "", STD_DOWN, "np.std({a}, axis=0)"),
    Op("s_std_v", "v", "s", "", STD, "np.std({a})"),
    Op("s_std_m", "m", "s", "", STD, "np.std({a})"),
    Op("s_constant", "", "s", "c", SET, "np.float64({c})"),
    Op("v_constant", "", "v", "uc", SET, "np.where(np.arange(F) == int({c} * F), {d}, {o})"),
    Op(
        "m_constant", "", "m", "uuc", SET,
        "np.where(np.arange(F * F).reshape(F, F) == int({c} * F) * F + int({d} * F), {e}, {o})",
    ),
    Op("s_uniform", "", "s", "cc", UNIFORM, "{c} + ({d} - {c}) * uniform(())"),
    Op("v_uniform", "", "v", "cc", UNIFORM, "{c} + ({d} - {c}) * uniform(F)"),
    Op("m_uniform", "", "m", "cc", UNIFORM, "{c} + ({d} - {c}) * uniform((F, F))"),
    Op("s_normal", "", "s", "cc", NORMAL, "{c} + {d} * normal(())"),
    Op("v_normal", "", "v", "cc", NORMAL, "{c} + {d} * normal(F)"),
    Op("m_normal", "", "m", "cc", NORMAL, "{c} + {d} * normal((F, F))"),
)  # fmt: skip

OPS = {op.name: op for op in _TABLE}
"""Name -> op, in the order of the paper's table."""

SETS = {
    "all": tuple(OPS),
    "linear": ("s_constant", "s_dot", "s_subtract", "s_multiply", "v_scale", "v_add", "v_subtract"),
}
"""Op sets with a name. ``linear`` is that of the authors' linear-regression demonstration."""
