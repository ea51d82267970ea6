"""Decodes the utterances of a data directory into a decoding directory.

A decoding directory holds lat.N.gz (Kaldi's lattices, in parts of `PART` utterances; a killed decoding goes on after the last
whole part), hyp.txt (words of the best paths at the scale of the search) and decode.json, written last: what it was made from.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from asrtool.decoder.beam_search import BeamSearchDecoder, DecodeResult
from asrtool.decoder.threads import in_threads
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.progress import progress
from asrtool.io.symbols import SymbolTable
from asrtool.io.tally import Tally
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.determinize import determinize_within
from asrtool.lattice.lattice import Lattice, best_path

FRAME_SHIFT_S = 0.01
PART = 128

Outcome = DecodeResult | Lattice | CompactLattice | AsrtoolError

Scorer = Callable[[list[str]], list[np.ndarray | AsrtoolError]]
"""Utterances -> log-likelihoods float32 [T, num_pdfs] of each, or why there are none; called in several threads."""


def one_by_one(score: Callable[[str], np.ndarray]) -> Scorer:
    """A scorer from a function of one utterance, whose AsrtoolErrors are kept to that utterance."""

    def scorer(utterances: list[str]) -> list[np.ndarray | AsrtoolError]:
        results = []
        for utterance in utterances:
            try:
                results.append(score(utterance))
            except AsrtoolError as error:
                results.append(error)
        return results

    return scorer


def fingerprint(paths: Iterable[str | Path], decoder_options: object, lattice: bool, determinize_lattice: bool = True) -> dict:
    """What a decoding depends on: sizes and times of files, and settings."""
    stamps = {str(path): [Path(path).stat().st_size, Path(path).stat().st_mtime_ns] for path in paths}
    kind = ("compact" if determinize_lattice else "state-level") if lattice else "none"
    return {"files": stamps, "settings": asdict(decoder_options), "lattice": kind}


def is_done(out_dir: Path, made_from: dict) -> bool:
    """Whether `out_dir` holds a finished decoding of just this."""
    return _read_json(out_dir / "decode.json") == made_from


def decode_data(
    decoder: BeamSearchDecoder,
    scorer: Scorer,
    utterances: list[str],
    words: SymbolTable,
    out_dir: Path,
    made_from: dict,
    num_threads: int = 1,
    lattice: bool = True,
    max_failed: float = 0.1,
    batch_size: int = 1,
    determinize_lattice: bool = True,
) -> None:
    """Decodes `utterances`, scored `batch_size` at a time, into `out_dir`; see the top of this file for what is written.

    Args:
        lattice: False: the best paths only.
        determinize_lattice: lattices of every word sequence's best alignment (CompactLattice), else of all alignments (Lattice).
        made_from: see `fingerprint`. Parts of an unfinished decoding made from the same are kept.

    Raises:
        AsrtoolError: more than `max_failed` of the utterances could not be decoded.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "decode.json").unlink(missing_ok=True)
    if _read_json(out_dir / "decode.partial.json") != made_from:
        for path in [*out_dir.glob("lat.*.gz"), *out_dir.glob("hyp.*.txt")]:
            path.unlink()
        write_text(out_dir / "decode.partial.json", json.dumps(made_from, indent=1) + "\n")
    kind = (lattice, lattice and determinize_lattice)
    job = _Decoding(decoder, scorer, words, num_threads, batch_size, kind, Tally(max_failed=max_failed))
    parts = list(_slices(utterances, PART))
    results = progress(job.outcomes(parts, out_dir), len(utterances), f"decoding {out_dir}")
    for number, part in enumerate(parts, 1):
        hyp = out_dir / f"hyp.{number}.txt"
        if hyp.is_file():
            job.count_again(part, hyp)
            continue
        good = job.good_ones(results, len(part))
        if lattice:
            write_lattices(out_dir / f"lat.{number}.gz", good)
        else:
            for _ in good:
                pass
        write_text(hyp, job.text(part))
    for _ in results:  # lets the progress bar end
        pass
    job.report(out_dir)
    job.tally.close()
    write_text(out_dir / "hyp.txt", job.text(sorted(utterances)))
    write_text(out_dir / "decode.json", json.dumps(made_from, indent=1) + "\n")
    for path in [*out_dir.glob("hyp.*.txt"), out_dir / "decode.partial.json"]:
        path.unlink()


class _Decoding:
    """The utterances of one run and what became of them."""

    def __init__(
        self,
        decoder: BeamSearchDecoder,
        scorer: Scorer,
        words: SymbolTable,
        num_threads: int,
        batch_size: int,
        kind: tuple[bool, bool],
        tally: Tally,
    ):
        self.decoder, self.scorer, self.words, self.tally = decoder, scorer, words, tally
        lattice, self.determinize = kind
        self._search = decoder.decode_lattice if lattice else decoder.decode
        self.num_threads, self.batch_size = num_threads, batch_size
        self.hypotheses: dict[str, list[str]] = {}
        self.num_frames, self.loglike, self.start = 0, 0.0, time.perf_counter()

    def outcomes(self, parts: list[list[str]], out_dir: Path) -> Iterator[tuple[str, Outcome, str]]:
        """Decodes all parts that are not there yet; the threads go from one part to the next without a pause."""
        left = (part for number, part in enumerate(parts, 1) if not (out_dir / f"hyp.{number}.txt").is_file())
        batches = (batch for part in left for batch in _slices(part, self.batch_size))
        for results in in_threads(self._decode_batch, batches, self.num_threads):
            yield from results

    def _decode_batch(self, utterances: list[str]) -> list[tuple[str, Outcome, str]]:
        outcomes = []
        for utterance, loglikes in zip(utterances, self.scorer(utterances), strict=True):
            outcome, warning = loglikes, ""
            if not isinstance(loglikes, AsrtoolError):
                try:
                    outcome, warning = self._decode(loglikes)
                except AsrtoolError as error:
                    outcome = error
            outcomes.append((utterance, outcome, warning))
        return outcomes

    def _decode(self, loglikes: np.ndarray) -> tuple[Outcome, str]:
        """(result, what there is to warn of)."""
        result, options = self._search(loglikes), self.decoder.options
        warning = "" if result.reached_final else "no final state reached; the best of the other paths is taken"
        if self.determinize:
            beam = options.lattice_beam
            result, kept = determinize_within(result, options.acoustic_scale, beam, options.word_insertion_penalty)
            if kept < beam:
                warning = f"{warning}; " * bool(warning) + f"the lattice is too large to keep more than a beam of {kept:.2f}"
        return result, warning

    def good_ones(
        self, results: Iterator[tuple[str, Outcome, str]], number: int
    ) -> Iterator[tuple[str, DecodeResult | Lattice | CompactLattice]]:
        """Takes `number` outcomes, counts them, keeps the words, and passes on those that did not fail."""
        options = self.decoder.options
        for _ in range(number):
            utterance, result, warning = next(results)
            if isinstance(result, AsrtoolError):
                self.tally.failed(utterance, str(result))
                continue
            best = result
            if not isinstance(result, DecodeResult):
                best = best_path(result, options.acoustic_scale, 1.0, options.word_insertion_penalty)
            if warning:
                print(f"WARNING: {utterance}: {warning}", file=sys.stderr)
            self.tally.ok()
            self.hypotheses[utterance] = [self.words.symbol(word) for word in best.words]
            self.num_frames += len(best.transition_ids)
            self.loglike -= best.graph_cost + options.acoustic_scale * best.acoustic_cost
            yield utterance, result

    def count_again(self, part: list[str], hyp: Path) -> None:
        """Takes up a part that an earlier, unfinished run decoded."""
        self.hypotheses |= {line.split()[0]: line.split()[1:] for line in hyp.read_text(encoding="utf-8").splitlines()}
        for utterance in part:
            if utterance in self.hypotheses:
                self.tally.ok()
            else:
                self.tally.failed(utterance, "failed in the earlier run")

    def text(self, utterances: list[str]) -> str:
        """Kaldi's text file, "utterance word word ..."."""
        return "".join(
            " ".join([utterance, *self.hypotheses[utterance]]) + "\n" for utterance in utterances if utterance in self.hypotheses
        )

    def report(self, out_dir: Path) -> None:
        seconds = time.perf_counter() - self.start
        print(
            f"{out_dir}: {self.num_frames} frames, log-likelihood per frame {self.loglike / max(self.num_frames, 1):.4f}, "
            f"real-time factor {seconds / max(self.num_frames * FRAME_SHIFT_S, 1e-9):.4f} with {self.num_threads} threads",
            file=sys.stderr,
        )


def _slices(utterances: list[str], size: int) -> Iterator[list[str]]:
    return (utterances[begin : begin + size] for begin in range(0, len(utterances), size))


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
