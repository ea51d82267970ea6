"""A whole alignment: corpus, dictionary and model in, files of times out; killed, it goes on where it was."""

import contextlib
import hashlib
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from asrtool.data.recording import Recording
from asrtool.errors import AsrtoolError
from asrtool.feat.fbank import FeatureExtractor
from asrtool.forced_alignment.align import Aligner, AlignSettings
from asrtool.forced_alignment.corpus import Corpus, Utterance, read_corpus
from asrtool.forced_alignment.lexicon import Lexicon
from asrtool.forced_alignment.model import FILES, AlignerModel
from asrtool.forced_alignment.output import by_recording, parse_record, record, write_results
from asrtool.forced_alignment.pronunciations import Guess, Vocabulary
from asrtool.forced_alignment.speaker import SpeakerAligner
from asrtool.forced_alignment.times import AlignedUtterance
from asrtool.io.atomic_file import write_text
from asrtool.io.progress import progress

PARTS = ".parts"
VERSION = 1  # of the results in parts: another one makes them anew


@dataclass(frozen=True)
class RunSettings:
    """
    Attributes:
        config, ali_dir: see AlignerModel.load.
        g2p: a model of train-g2p for words that the dictionary lacks; without it they are noise.
        formats: of output.FORMATS.
        num_threads: does not change the results.
        max_failed: share of utterances that may fail.
    """

    align: AlignSettings = field(default_factory=AlignSettings)
    config: str | None = None
    ali_dir: str | None = None
    g2p: str | None = None
    formats: tuple[str, ...] = ("textgrid",)
    textgrid_confidence: bool = True
    speaker_characters: int = 0
    num_threads: int = 1
    max_failed: float = 0.25


def align_corpus_dir(corpus_dir: Path, dictionary: Path, model_path: Path, out_dir: Path, settings: RunSettings) -> None:
    """Aligns all and writes the results, report.tsv, failed.txt and unknown_words.txt into `out_dir`.

    Raises:
        AsrtoolError: something is missing or does not fit, or too many utterances failed.
    """
    corpus = read_corpus(corpus_dir, settings.speaker_characters)
    model = AlignerModel.load(model_path, settings.config, settings.ali_dir)
    lexicon = Lexicon.read(dictionary)
    vocabulary = Vocabulary(model.phones, lexicon, load_g2p(settings.g2p))
    words = {one.name: lexicon.words_of(one.text) for one in corpus.utterances}
    prepared = {name: (found, vocabulary.add(found)) for name, found in words.items()}
    out_dir.mkdir(parents=True, exist_ok=True)
    aligner = Aligner(model, vocabulary, out_dir / ".lang", settings.align)
    _say_unknown(out_dir, vocabulary)
    with ThreadPoolExecutor(settings.num_threads) as pool, ThreadPoolExecutor(settings.num_threads) as speakers:
        worker = SpeakerAligner(aligner, FeatureExtractor(model.extraction), prepared, pool)
        job = PartJob(corpus, worker, out_dir / PARTS, _digest(model, settings))
        parts = list(corpus.speakers().values())  # a speaker's utterances share their statistics
        jobs = speakers.map(job, parts)
        results = [one for found in progress(jobs, len(parts), "parts aligned") for one in found]
    write_results(out_dir, (one for one in results if not one.problem), settings.formats, settings.textgrid_confidence)
    _finish(out_dir, corpus, results, settings)


def load_g2p(path: str | None) -> Guess | None:
    if path is None:
        return None
    from asrtool.lang.g2p import G2p

    return G2p.load(path).pronounce


@dataclass
class PartJob:
    """Aligns a speaker, or reads what was found before."""

    corpus: Corpus
    worker: SpeakerAligner
    directory: Path
    digest: str

    def __call__(self, utterances: list[Utterance]) -> list[AlignedUtterance]:
        path = self.directory / f"{self._key(utterances)}.json"
        if path.is_file():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged part is made anew
                return [parse_record(one) for one in json.loads(path.read_text(encoding="utf-8"))]
        records = [record(one) for one in self.worker(utterances, self.corpus.recordings)]
        write_text(path, json.dumps(records, ensure_ascii=False))
        return [parse_record(one) for one in records]  # as they will be read again, that is rounded

    def _key(self, utterances: list[Utterance]) -> str:
        """Of all that determines a part's results."""
        parts = [self.digest]
        for one in utterances:
            symbols = self.worker.words[one.name][1]
            spelled = [self.worker.aligner.vocabulary.pronunciations[symbol] for symbol in symbols]
            parts.append(repr((one, _stamp(self.corpus.recordings[one.recording]), symbols, spelled)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _stamp(recording: Recording) -> object:
    path = Path(recording.entry)
    return (recording, path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else recording


def _digest(model: AlignerModel, settings: RunSettings) -> str:
    digest = hashlib.sha256(repr((VERSION, settings.align, model.extraction)).encode())
    for name in FILES:
        path = model.directory / name
        digest.update(path.read_bytes() if path.is_file() else b"-")
    if model.network:
        digest.update(repr(model.network.info).encode() + model.network.log_prior_P.tobytes())
    return digest.hexdigest()


def _say_unknown(out_dir: Path, vocabulary: Vocabulary) -> None:
    """Lists the words that the dictionary lacks, with what was guessed for them."""
    rows = sorted(vocabulary.unknown.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{word}\t{count}\t{' | '.join(vocabulary.guessed.get(word, ['']))}".rstrip() for word, count in rows]
    write_text(out_dir / "unknown_words.txt", "".join(f"{line}\n" for line in lines))
    if rows:
        print(
            f"WARNING: {len(rows)} words are not in the dictionary ({sum(count for _, count in rows)} times), "
            f"{len(vocabulary.guessed)} of them have a guessed pronunciation, the others are taken as noise: "
            f"{out_dir}/unknown_words.txt",
            file=sys.stderr,
        )


def _finish(out_dir: Path, corpus: Corpus, results: list[AlignedUtterance], settings: RunSettings) -> None:
    """The report, and what failed."""
    aligned = [one for one in results if not one.problem]
    rows = ["utterance\tspeaker\trecording\tstart_s\tend_s\twords\tloglike\tconfidence"]
    for utterances in by_recording(aligned).values():
        rows += [
            f"{one.name}\t{one.speaker}\t{one.recording}\t{one.start_s:.3f}\t{one.end_s:.3f}\t{len(one.words)}"
            f"\t{one.loglike:.4f}\t{one.confidence:.3f}"
            for one in utterances
        ]
    write_text(out_dir / "report.tsv", "".join(f"{row}\n" for row in rows))
    failed = [*corpus.problems, *((one.name, one.problem) for one in results if one.problem)]
    failed += [(f"{one.name}, part of it", why) for one in aligned for why in one.left_out]
    write_text(out_dir / "failed.txt", "".join(f"{name}: {why}\n" for name, why in failed))
    for name, why in failed[:10]:
        print(f"WARNING: {name}: {why}", file=sys.stderr)
    seconds = sum(one.end_s - one.start_s for one in aligned)
    print(f"{len(aligned)} utterances aligned ({seconds:.0f} s), {len(failed)} failed; {out_dir}/report.tsv", file=sys.stderr)
    if len(failed) > settings.max_failed * (len(aligned) + len(failed)):
        raise AsrtoolError(
            f"{len(failed)} of {len(aligned) + len(failed)} utterances failed (allowed: {settings.max_failed:.0%}), "
            f"the first: {failed[0][0]}: {failed[0][1]}; all are in {out_dir}/failed.txt"
        )
    shutil.rmtree(out_dir / ".lang", ignore_errors=True)
