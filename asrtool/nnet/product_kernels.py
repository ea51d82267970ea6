"""Products of a few rows with a matrix that is used many times (the recurrent products of an LSTM), its weights packed once.

A product of 4 rows with a [512, 3200] matrix in a general library runs at a third of a core's rate. Here the matrix is packed in
panels of 16 columns, and a tile of 4 rows (8 with AVX-512) by 16 columns stays in registers while a panel streams past. Measured
on one core of Zen 3: 71 to 86 GFLOP/s at 4 to 32 rows, beside other work; MKL 32 at 4 and 63 to 72 at 32.

numba keeps no small arrays in registers, so the tile's inner loop is given in LLVM's vector instructions; the rest is plain
numba. Panels are float32 [N / 16, K, 16]; or bfloat16 [N / 16, K / 2, 16, 2], in pairs along K held as int32, whose
products are summed in float32: by the processor's instruction (AVX-512 BF16) or, elsewhere, by widening both, which is exact.
"""

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

COLUMNS = 16
_features = (
    {} if config.CPU_NAME or config.CPU_FEATURES else llvmlite.binding.get_host_cpu_features()
)  # {}: for another processor
HAS_BF16 = bool(_features.get("avx512bf16"))
TILE_ROWS = 8 if _features.get("avx512f") else 4  # 4 or 8: what the registers hold

_i32, _i64, _f32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_i32s, _f32s = ir.VectorType(_i32, COLUMNS), ir.VectorType(_f32, COLUMNS)


class _Bfloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"


_bfloats = ir.VectorType(_Bfloat(), 2 * COLUMNS)


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _splat(builder, scalar):
    undefined = ir.Constant(ir.VectorType(scalar.type, COLUMNS), ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, _i32(0)), undefined, ir.Constant(_i32s, None))


def _widened(builder, pairs):
    """The first and the second bfloat16 of each int32 as float32 (whose upper half a bfloat16 is)."""
    low = builder.shl(pairs, ir.Constant(_i32s, [16] * COLUMNS))
    high = builder.and_(pairs, ir.Constant(_i32s, [-65536] * COLUMNS))
    return [builder.bitcast(half, _f32s) for half in (low, high)]


def _multiply_accumulate(builder, x, w, total, has_bf16):
    """total + x * w; for vectors of pairs the sum of both products."""
    if w.type == _f32s:
        return _call(builder, f"llvm.fma.v{COLUMNS}f32", _f32s, x, w, total)
    if has_bf16:
        x, w = builder.bitcast(x, _bfloats), builder.bitcast(w, _bfloats)
        return _call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", _f32s, total, x, w)
    for x_half, w_half in zip(_widened(builder, x), _widened(builder, w)):
        total = _call(builder, f"llvm.fma.v{COLUMNS}f32", _f32s, x_half, w_half, total)
    return total


def _make_tile(num_rows: int, has_bf16: bool = HAS_BF16):
    """tile(x [B, K], row, w flat panels, begin, out [B, N], column): out[row : row + num_rows, column : column + 16] += x w."""

    def generate(context, builder, signature, arguments):
        x, row, w, begin, out, column = arguments
        x, w, out = (
            context.make_array(kind)(context, builder, array)
            for kind, array in zip((signature.args[0], signature.args[2], signature.args[4]), (x, w, out))
        )
        depth, width = (builder.extract_value(array.shape, 1) for array in (x, out))
        rows = [builder.add(row, _i64(r)) for r in range(num_rows)]
        x_rows = [builder.gep(x.data, [builder.mul(r, depth)]) for r in rows]
        out_rows = [builder.gep(out.data, [builder.add(builder.mul(r, width), column)]) for r in rows]
        out_rows = [builder.bitcast(pointer, _f32s.as_pointer()) for pointer in out_rows]
        panel = builder.gep(w.data, [begin])
        vector = _f32s if panel.type.pointee == _f32 else _i32s
        first = [builder.load(pointer, align=4) for pointer in out_rows]
        before, loop, after = builder.block, builder.append_basic_block("depth"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", _i64(0), depth), loop, after)
        builder.position_at_end(loop)
        k, sums = builder.phi(_i64), [builder.phi(_f32s) for _ in rows]
        pointer = builder.gep(panel, [builder.mul(k, _i64(COLUMNS))])
        weights = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)
        scalars = [builder.load(builder.gep(x_row, [k])) for x_row in x_rows]
        totals = [
            _multiply_accumulate(builder, _splat(builder, scalar), weights, total, has_bf16)
            for scalar, total in zip(scalars, sums)
        ]
        k_next = builder.add(k, _i64(1))
        builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, after)
        builder.position_at_end(after)
        for phi, start, step in zip([k, *sums], [_i64(0), *first], [k_next, *totals]):
            phi.add_incoming(start, before)
            phi.add_incoming(step, loop)
        results = [builder.phi(_f32s) for _ in rows]
        for pointer, result, start, total in zip(out_rows, results, first, totals):
            result.add_incoming(start, before)
            result.add_incoming(total, loop)
            builder.store(result, pointer, align=4)
        return context.get_dummy_value()

    @intrinsic
    def tile(typing_context, x, row, w, begin, out, column):
        return types.void(x, types.intp, w, types.intp, out, types.intp), generate

    return tile


_tile_of_many, _tile_of_four, _tile_of_one = _make_tile(TILE_ROWS), _make_tile(4), _make_tile(1)


@njit(nogil=True, cache=True)
def add_product(x, w, out):
    """Adds x times the packed matrix w to out.

    Args:
        x: float32 [B, K], or int32 [B, K / 2], bfloat16 in pairs (`round_pairs`); contiguous, as are all.
        w: panels, flat, of the same type (`pack`, `pack_pairs`).
        out: float32 [B, N], N a multiple of 16.
    """
    num_rows, depth = x.shape
    by_many = num_rows - num_rows % TILE_ROWS
    by_four = num_rows - num_rows % 4
    for column in range(0, out.shape[1], COLUMNS):
        begin = column * depth
        for row in range(0, by_many, TILE_ROWS):
            _tile_of_many(x, row, w, begin, out, column)
        for row in range(by_many, by_four, 4):
            _tile_of_four(x, row, w, begin, out, column)
        for row in range(by_four, num_rows):
            _tile_of_one(x, row, w, begin, out, column)


@njit(nogil=True, cache=True)
def pack(weight, w):
    """weight float32 [K, N], any strides, N a multiple of 16 -> w float32 [N / 16 * K * 16]."""
    depth, width = weight.shape
    for column in range(0, width, COLUMNS):
        for k in range(depth):
            begin = (column * depth) + k * COLUMNS
            for n in range(COLUMNS):
                w[begin + n] = weight[k, column + n]


@njit(nogil=True, cache=True)
def pack_pairs(weight, w):
    """weight uint16 [K, N] (bits of bfloat16), any strides, K even, N a multiple of 16 -> w int32 [N / 16 * K / 2 * 16]."""
    depth, width = weight.shape
    for column in range(0, width, COLUMNS):
        for k in range(0, depth, 2):
            begin = (column * depth + k * COLUMNS) // 2
            for n in range(COLUMNS):
                w[begin + n] = np.int32(weight[k, column + n]) | (np.int32(weight[k + 1, column + n]) << 16)


@njit(nogil=True, cache=True)
def round_pairs(x, pairs):
    """x float32 [B, K] seen as int32, K even, -> pairs int32 [B, K / 2]: bfloat16, rounded to even; NaN stays NaN."""
    for row in range(x.shape[0]):
        for k in range(x.shape[1] // 2):
            pairs[row, k] = _bf16(x[row, 2 * k]) | (_bf16(x[row, 2 * k + 1]) << 16)


@njit(nogil=True, cache=True)
def _bf16(bits):
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) & 0xFFFF
    return np.int32(0x7FC0 if (bits & 0x7FFFFFFF) > 0x7F800000 else rounded)
