"""What `asrtool show` prints of features, matrices, vectors and recordings."""

import sys
from collections.abc import Iterator

from asrtool.bin._show_display import UTTERANCES, Display, argument, chosen, vector
from asrtool.io.kaldi_matrix import matrix_bytes, vector_bytes
from asrtool.io.kaldi_table import MatrixReader, read_matrix_file, read_scp


def _dim(args) -> Iterator[str]:
    for _, matrix in MatrixReader(args.table, check_finite=False).items():
        yield str(matrix.shape[1])
        return


def _lengths(args) -> Iterator[str]:
    return (f"{key} {len(matrix)}" for key, matrix in MatrixReader(args.table, check_finite=False).items())


def _features(args) -> Iterator[str]:
    from asrtool.report.show_tables import feature_lines

    return feature_lines(MatrixReader(args.table, check_finite=False).items())


def _matrix(args) -> Iterator[str]:
    from asrtool.report.show_tables import feature_lines

    return feature_lines([(str(args.table), read_matrix_file(args.table))])


def _matrices(args) -> Iterator[str]:
    for key, matrix in chosen(MatrixReader(args.table, check_finite=False).items(), args.utterances, args.table):
        yield f"{key} {matrix_bytes(matrix, binary=False).decode()}".rstrip("\n")


def _text(matrix) -> Iterator[str]:
    yield (matrix_bytes if matrix.ndim == 2 else vector_bytes)(matrix, binary=False).decode().rstrip("\n")


def _recordings(args) -> Iterator[str]:
    from asrtool.report.show_tables import recording_line

    is_table = args.recording.suffix == ".scp"
    entries = read_scp(args.recording) if is_table else {str(args.recording): str(args.recording)}
    total_s = 0.0
    for name, entry in chosen(entries.items(), args.utterances, args.recording):
        line, duration_s = recording_line(name, entry)
        total_s += duration_s
        yield line
    if is_table:
        print(f"{total_s / 3600:.3f} hours", file=sys.stderr)


TABLE = argument("table", type=str, help="feats.scp, x.ark, scp:..., ark:...; .gz too")
DISPLAYS = {
    "feat-info": Display("matrices, frames, dimension and range of features", "data/train/feats.scp", (TABLE,), _features),
    "feat-to-dim": Display("the dimension of features", "data/train/feats.scp", (TABLE,), _dim),
    "feat-to-len": Display("the frames of each utterance", "data/train/feats.scp", (TABLE,), _lengths),
    "copy-feats": Display("features as text", "data/train/feats.scp 0001-000010011", (TABLE, UTTERANCES), _matrices),
    "copy-matrix": Display(
        "a file with one matrix as text", "exp/tri2b/final.mat", (argument("table"),),
        lambda args: _text(read_matrix_file(args.table)),
    ),
    "matrix-info": Display(
        "rows, columns and range of a file with one matrix", "exp/tri2b/final.mat", (argument("table"),), _matrix
    ),
    "copy-vector": Display(
        "a file with one vector as text", "exp/tri/final.occs", (argument("table"),), lambda args: _text(vector(args.table))
    ),
    "wav-info": Display(
        "duration, rate, channels and coding of a recording, or of those of wav.scp", "data/train/wav.scp",
        (argument("recording"), UTTERANCES), _recordings,
    ),
}  # fmt: skip
