"""Matrices and vectors as Kaldi writes them; compressed matrices (CM, CM2, CM3) in both directions.

The arithmetic of compression is that of kaldi/src/matrix/compressed-matrix.cc in float32, so that the bytes are those that
Kaldi writes. Methods have Kaldi's numbers: 1 automatic, 2 speech feature (CM), 3 two-byte auto (CM2), 4 two-byte
signed integer (CM2), 5 one-byte auto (CM3), 6 one-byte unsigned integer (CM3), 7 one-byte zero-one (CM3).
"""

import struct

import numpy as np

AUTOMATIC, SPEECH_FEATURE, TWO_BYTE_AUTO, TWO_BYTE_SIGNED, ONE_BYTE_AUTO, ONE_BYTE_UNSIGNED, ZERO_ONE = range(1, 8)
_FIXED_RANGE = {TWO_BYTE_SIGNED: (-32768.0, 65535.0), ONE_BYTE_UNSIGNED: (0.0, 255.0), ZERO_ONE: (0.0, 1.0)}
_TOKENS = {SPEECH_FEATURE: b"CM ", TWO_BYTE_AUTO: b"CM2 ", TWO_BYTE_SIGNED: b"CM2 "}
HEADER_BYTES = 16  # min_value, range, num_rows, num_cols


def compress(matrix: np.ndarray, method: int = AUTOMATIC) -> bytes:
    """The token, header and data of a [T, D] matrix, as they stand after the binary marker.

    Raises:
        ValueError: an unknown method.
    """
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    if method not in range(1, 8):
        raise ValueError(f"compression method {method} is not one of Kaldi's 1 to 7")
    if method == AUTOMATIC:
        method = SPEECH_FEATURE if len(matrix) > 8 else TWO_BYTE_AUTO
    token = _TOKENS.get(method, b"CM3 ")
    if matrix.size == 0:
        return b"CM " + struct.pack("<ffii", 0, 0, 0, 0)
    if method in _FIXED_RANGE:
        low, span = map(np.float32, _FIXED_RANGE[method])
    else:
        low, high = matrix.min(), matrix.max()
        if high == low:
            high = low + np.float32(1.0 + abs(float(low)))
        span = high - low
    header = token + struct.pack("<ffii", low, span, *matrix.shape)
    if method == SPEECH_FEATURE:
        return header + _speech_feature_bytes(matrix, low, span)
    steps, dtype = (65535, "<u2") if token == b"CM2 " else (255, "u1")
    return header + _quantise(matrix, low, span, steps).astype(dtype).tobytes()


def _quantise(values: np.ndarray, low: np.float32, span: np.float32, steps: int) -> np.ndarray:
    scaled = np.clip((values - low) / span, np.float32(0), np.float32(1))
    return (scaled * np.float32(steps) + np.float64(0.499)).astype(np.int32)  # added in double, as in Kaldi


def _dequantise(values: np.ndarray, low: np.float32, span: np.float32) -> np.ndarray:
    return low + span * np.float32(1.52590218966964e-05) * values.astype(np.float32)


def _speech_feature_bytes(matrix: np.ndarray, low: np.float32, span: np.float32) -> bytes:
    """Four percentiles a column in two bytes each, then a byte an element, column by column."""
    num_rows, num_cols = matrix.shape
    columns = np.ascontiguousarray(matrix.T)
    if num_rows >= 5:
        wanted = [0, num_rows // 4, 3 * (num_rows // 4), num_rows - 1]
        found = np.partition(columns, wanted, axis=1)[:, wanted]
    else:
        found = np.sort(columns, axis=1)
    codes = np.zeros((num_cols, 4), np.int32)
    codes[:, : found.shape[1]] = _quantise(found, low, span, 65535)
    np.minimum(codes[:, 0], 65532, out=codes[:, 0])
    for k, largest in ((1, 65533), (2, 65534), (3, 65535)):  # strictly rising, so that no interval is empty
        codes[:, k] = np.minimum(np.maximum(codes[:, k], codes[:, k - 1] + 1), largest)
    p0, p25, p75, p100 = (_dequantise(codes[:, k], low, span)[:, None] for k in range(4))
    # value -> byte is piecewise linear: 64 steps below the 25th percentile, 128 between, 63 above the 75th
    middle = columns >= p25
    upper = columns >= p75
    start = np.where(upper, p75, np.where(middle, p25, p0))
    end = np.where(upper, p100, np.where(middle, p75, p25))
    steps = np.where(upper, np.float32(63), np.where(middle, np.float32(128), np.float32(64)))
    scaled = (columns - start) / (end - start) * steps
    offset = np.clip((scaled + np.float64(0.5)).astype(np.int32), 0, steps.astype(np.int32))
    first = np.where(upper, 192, np.where(middle, 64, 0))
    return codes.astype("<u2").tobytes() + (first + offset).astype(np.uint8).tobytes()


def compressed_num_bytes(token: str, header: bytes) -> int:
    """How many bytes follow the 16 bytes of the header."""
    num_rows, num_cols = struct.unpack_from("<ii", header, 8)
    return {"CM": num_cols * (8 + num_rows), "CM2": 2 * num_rows * num_cols, "CM3": num_rows * num_cols}[token]


def decompress(token: str, header: bytes, data: bytes) -> np.ndarray:
    """The matrix, float32 [T, D], from its token, 16-byte header and data; not finite where the header is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _decompressed(token, header, data)


def _decompressed(token: str, header: bytes, data: bytes) -> np.ndarray:
    low, span, num_rows, num_cols = struct.unpack("<ffii", header)
    low, span = np.float32(low), np.float32(span)
    if num_rows == 0:
        return np.zeros((0, 0), np.float32)
    if token == "CM2":
        codes = np.frombuffer(data, "<u2").reshape(num_rows, num_cols)
        return codes * np.float32(float(span) / 65535) + low
    if token == "CM3":
        codes = np.frombuffer(data, "u1").reshape(num_rows, num_cols)
        return codes * np.float32(float(span) / 255) + low
    percentiles = _dequantise(np.frombuffer(data, "<u2", 4 * num_cols).reshape(num_cols, 4), low, span)
    codes = np.frombuffer(data, "u1", offset=8 * num_cols).reshape(num_cols, num_rows)
    p0, p25, p75, p100 = (percentiles[:, k : k + 1] for k in range(4))
    byte = np.arange(256, dtype=np.float32)
    table = np.where(  # one value a column and byte: a look-up is several times as fast as three formulas a value
        byte <= 64,
        p0 + (p25 - p0) * byte * np.float32(1 / 64),
        np.where(
            byte <= 192,
            p25 + (p75 - p25) * (byte - 64) * np.float32(1 / 128),
            p75 + (p100 - p75) * (byte - 192) * np.float32(1 / 63),
        ),
    )
    matrix = np.empty((num_rows, num_cols), np.float32)
    for column in range(num_cols):
        matrix[:, column] = table[column][codes[column]]
    return matrix


def vector_bytes(values: np.ndarray, binary: bool = True) -> bytes:
    """A float vector as Kaldi writes it, less the binary marker."""
    kind, dtype = (b"DV ", "<f8") if values.dtype == np.float64 else (b"FV ", "<f4")
    if binary:
        return kind + b"\4" + struct.pack("<i", len(values)) + values.astype(dtype, copy=False).tobytes()
    return b" [ " + b"".join(b"%.7g " % value for value in values.tolist()) + b"]\n"


def matrix_bytes(matrix: np.ndarray, binary: bool = True) -> bytes:
    """A matrix as Kaldi writes it, less the binary marker."""
    kind, dtype = (b"DM ", "<f8") if matrix.dtype == np.float64 else (b"FM ", "<f4")
    if binary:
        return (
            kind
            + b"\4%b\4%b" % tuple(struct.pack("<i", size) for size in matrix.shape)
            + matrix.astype(dtype, copy=False).tobytes()
        )
    if len(matrix) == 0:
        return b" [ ]\n"
    return b" [" + b"".join(b"\n  " + b"".join(b"%.7g " % value for value in row) for row in matrix.tolist()) + b"]\n"
