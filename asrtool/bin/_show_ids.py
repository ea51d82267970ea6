"""What `asrtool show` prints of alignments, posteriors and archives of vectors."""

from collections.abc import Iterator

from asrtool.bin._lattice_options import source
from asrtool.bin._show_display import UTTERANCES, Display, argument, chosen
from asrtool.io.alignment import read_alignments
from asrtool.io.kaldi_matrix import vector_bytes
from asrtool.io.kaldi_table import read_vectors
from asrtool.io.symbols import SymbolTable


def _vectors(args) -> Iterator[str]:
    for key, values in chosen(read_vectors(args.table).items(), args.utterances, args.table):
        yield f"{key} {vector_bytes(values, binary=False).decode()}".rstrip("\n")


def _counts(args) -> Iterator[str]:
    from asrtool.report.show_counts import count_ids, count_lines

    counts = count_ids(read_alignments(args.alignments).items(), args.counts_dim)
    yield from count_lines(counts, SymbolTable.read(args.symbol_table) if args.symbol_table else None)


def _integers(args) -> Iterator[str]:
    for key, ids in chosen(read_alignments(args.table).items(), args.utterances, args.table):
        yield "".join(f"{word} " for word in (key, *ids.tolist()))  # Kaldi leaves a space at the end, too


def _alignment_info(args) -> Iterator[str]:
    from asrtool.report.show_tables import alignment_summary_lines

    return alignment_summary_lines(read_alignments(args.table).items())


def _posteriors(args) -> Iterator[str]:
    from asrtool.lattice.posterior_archive import read_posteriors
    from asrtool.report.show_tables import posterior_lines

    return posterior_lines(read_posteriors(args.table))


INTEGERS = argument("table", type=source, help="archive or directory with ali.*.gz")
DISPLAYS = {
    "copy-vector-archive": Display(
        "vectors of an archive as text", "vad.ark", (argument("table", type=source), UTTERANCES), _vectors
    ),
    "analyze-counts": Display(
        "how often each id occurs in alignments, the rarest first", "--counts-dim 2000 ark:pdf.ark",
        (
            argument("alignments", type=source, help="archive or directory; pdf-ids for priors"),
            argument("--counts-dim", type=int, default=0, help="number of ids (default: the largest that occurs, plus 1)"),
            argument("--symbol-table", help="names of the ids"),
        ),
        _counts,
    ),
    "copy-int-vector": Display("alignments as text", "exp/tri_ali 0001-000010011", (INTEGERS, UTTERANCES), _integers),
    "ali-info": Display("alignments, frames and range of ids", "exp/tri_ali", (INTEGERS,), _alignment_info),
    "post-info": Display("frames, entries and weights of posteriors", "post.ark", (argument("table", type=source),), _posteriors),
}  # fmt: skip
