"""Vector instructions for the kernels of lattice-free MMI: LANES utterances are one vector, in registers over a row's arcs.

numba takes the lanes one by one: a loop of eight is unrolled before LLVM looks for vectors, and sums go through memory. So a
row's work is given in LLVM's instructions (as in asrtool/nnet/product_kernels.py). Arrays are float32 [rows, LANES], contiguous.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8

_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_vector = ir.VectorType(_f32, LANES)


def _arrays(context, builder, signature, arguments, *places):
    return [context.make_array(signature.args[place])(context, builder, arguments[place]) for place in places]


def _row(builder, array, index):
    """The address of row `index` as one of a vector."""
    place = builder.gep(array.data, [builder.mul(index, _i64(LANES))])
    return builder.bitcast(place, _vector.as_pointer())


def _load(builder, address):
    return builder.load(address, align=4)


def _store(builder, value, address):
    builder.store(value, address, align=4)


def _splat(builder, scalar):
    undefined = ir.Constant(_vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_i32, LANES), None)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, _i32(0)), undefined, zeros)


def _multiply_add(builder, x, y, total):
    return builder.fadd(builder.fmul(x, y, flags=("contract",)), total, flags=("contract",))


def _arcs(builder, first, last, arc_prob, arc_state):
    """Loops over the arcs first to last - 1: yields the probability as a vector and the state."""
    with cgutils.for_range(builder, builder.sub(last, first)) as loop:
        arc = builder.add(first, loop.index)
        state = builder.sext(builder.load(builder.gep(arc_state.data, [arc])), _i64)
        yield _splat(builder, builder.load(builder.gep(arc_prob.data, [arc]))), state


@intrinsic
def forward_row(typingctx, arc_prob, arc_state, first, last, alpha, x, x_row, z, z_row, new, to, sums):
    """z[z_row] = x[x_row] * (sum of prob alpha[state] over the arcs), which new[to] and sums[0] gain; first to sums int64."""

    def generate(context, builder, signature, arguments):
        first, last, x_row, z_row, to = (arguments[place] for place in (2, 3, 6, 8, 10))
        arc_prob, arc_state, alpha, x, z, new, sums = _arrays(context, builder, signature, arguments, 0, 1, 4, 5, 7, 9, 11)
        total = cgutils.alloca_once_value(builder, ir.Constant(_vector, None))
        for prob, state in _arcs(builder, first, last, arc_prob, arc_state):
            builder.store(_multiply_add(builder, prob, _load(builder, _row(builder, alpha, state)), builder.load(total)), total)
        value = builder.fmul(builder.load(total), _load(builder, _row(builder, x, x_row)))
        _store(builder, value, _row(builder, z, z_row))
        for address in (_row(builder, new, to), _row(builder, sums, _i64(0))):
            _store(builder, builder.fadd(_load(builder, address), value), address)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(arc_prob, arc_state, i64, i64, alpha, x, i64, z, i64, new, i64, sums), generate


@intrinsic
def backward_row(typingctx, arc_prob, arc_state, first, last, beta, to, x, x_row, z, z_row, gamma, new):
    """gamma[x_row] += z[z_row] beta[to]; new[state] += prob x[x_row] beta[to] over the arcs."""

    def generate(context, builder, signature, arguments):
        first, last, to, x_row, z_row = (arguments[place] for place in (2, 3, 5, 7, 9))
        arc_prob, arc_state, beta, x, z, gamma, new = _arrays(context, builder, signature, arguments, 0, 1, 4, 6, 8, 10, 11)
        behind = _load(builder, _row(builder, beta, to))
        posterior = _row(builder, gamma, x_row)
        _store(
            builder, _multiply_add(builder, _load(builder, _row(builder, z, z_row)), behind, _load(builder, posterior)), posterior
        )
        part = builder.fmul(_load(builder, _row(builder, x, x_row)), behind)
        for prob, state in _arcs(builder, first, last, arc_prob, arc_state):
            address = _row(builder, new, state)
            _store(builder, _multiply_add(builder, prob, part, _load(builder, address)), address)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(arc_prob, arc_state, i64, i64, beta, i64, x, i64, z, i64, gamma, new), generate


@intrinsic
def scale_row(typingctx, row, factor, scale, added, shift, out):
    """out[row] = (factor[row] + shift[0]) * scale[0] + added, a number."""

    def generate(context, builder, signature, arguments):
        row, added = arguments[0], arguments[3]
        factor, scale, shift, out = _arrays(context, builder, signature, arguments, 1, 2, 4, 5)
        value = builder.fadd(_load(builder, _row(builder, factor, row)), _load(builder, _row(builder, shift, _i64(0))))
        scaled = _multiply_add(builder, value, _load(builder, _row(builder, scale, _i64(0))), _splat(builder, added))
        _store(builder, scaled, _row(builder, out, row))
        return context.get_dummy_value()

    return types.void(types.int64, factor, scale, types.float32, shift, out), generate


@intrinsic
def add_row(typingctx, row, factor, weight, sums):
    """sums[0] += weight factor[row], weight a number."""

    def generate(context, builder, signature, arguments):
        row, weight = arguments[0], arguments[2]
        factor, sums = _arrays(context, builder, signature, arguments, 1, 3)
        address = _row(builder, sums, _i64(0))
        value = _multiply_add(
            builder, _load(builder, _row(builder, factor, row)), _splat(builder, weight), _load(builder, address)
        )
        _store(builder, value, address)
        return context.get_dummy_value()

    return types.void(types.int64, factor, types.float32, sums), generate
