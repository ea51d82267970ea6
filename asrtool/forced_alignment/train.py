"""A model for alignment, from the corpus that is to be aligned: monophones, triphones, LDA and MLLT, speaker adaptation."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.feat.extraction_options import MfccOptions
from asrtool.forced_alignment.corpus import read_corpus
from asrtool.forced_alignment.lexicon import Lexicon
from asrtool.forced_alignment.model import FILES
from asrtool.forced_alignment.pronunciations import UNKNOWN, Guess
from asrtool.forced_alignment.training_data import write_training_data
from asrtool.forced_alignment.training_dict import write_dict
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_binary import KaldiReader
from asrtool.lang.prepare import LangOptions, prepare_lang
from asrtool.train.gmm_align import AlignSiOptions, align_si
from asrtool.train.gmm_deltas import DeltasOptions, train_deltas
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_lda_mllt import LdaMlltOptions, train_lda_mllt
from asrtool.train.gmm_mono import REALIGN_ITERS as MONO_REALIGN_ITERS
from asrtool.train.gmm_mono import MonoOptions, train_mono
from asrtool.train.gmm_output import copy_file
from asrtool.train.gmm_run import RunOptions, pdfs_of_phones
from asrtool.train.gmm_sat import SatOptions, train_sat
from asrtool.train.gmm_state import fingerprint
from asrtool.train.gmm_trainer import GmmTrainingOptions
from asrtool.train.gmm_triphones import REALIGN_ITERS

STAGES = ("mono", "deltas", "lda", "sat")
FRAMES_A_LEAF = 450
GAUSSIANS_A_LEAF = 6
LDA_DIM = 40
SPLICE_OPTS = "--left-context=3 --right-context=3"
LEAVES = (100, 5000)  # at least, at most
SHARE_OF_LEAVES = {"deltas": 0.75, "lda": 1.0, "sat": 1.0}
COPIED = (*FILES, "final.occs", "ali_train_pdf.counts", "alignment_summary.txt")


@dataclass(frozen=True)
class TrainAlignerSettings:
    """
    Attributes:
        last_stage: of STAGES.
        num_leaves: of the last triphones; 0: by the amount of speech. totgauss: likewise.
        longest_s: utterances that are longer are not trained on.
        guess: pronounces words that the dictionary lacks; without it they are noise.
        max_failed: share of utterances that may fail, in each step.
    """

    last_stage: str = "sat"
    num_leaves: int = 0
    totgauss: int = 0
    boost_silence: float = 1.25
    longest_s: float = 30.0
    speaker_characters: int = 0
    position_dependent: bool = True
    extraction: MfccOptions = field(default_factory=MfccOptions)
    guess: Guess | None = None
    num_threads: int = 1
    max_failed: float = 0.25

    def __post_init__(self) -> None:
        if self.last_stage not in STAGES:
            raise AsrtoolError(f"--last-stage {self.last_stage}: expected one of {', '.join(STAGES)}")
        if self.num_leaves < 0 or self.totgauss < 0 or self.boost_silence <= 0:
            raise AsrtoolError("--num-leaves and --totgauss must be at least 0, --boost-silence above 0")


def train_aligner(corpus_dir: Path, dictionary: Path, out_dir: Path, settings: TrainAlignerSettings) -> None:
    """Writes a model directory for `asrtool align`, and the steps to it into out_dir/work; killed, it goes on where it was.

    Raises:
        AsrtoolError: something is missing or does not fit, or too many utterances cannot be aligned.
    """
    corpus = read_corpus(corpus_dir, settings.speaker_characters)
    lexicon = Lexicon.read(dictionary)
    work = out_dir / "work"
    with ThreadPoolExecutor(settings.num_threads) as pool:
        data = write_training_data(corpus, lexicon, work / "data", settings.extraction, settings.longest_s, pool)
    for name, why in [*corpus.problems, *data.left_out][:10]:
        print(f"WARNING: {name}: {why}", file=sys.stderr)
    write_dict(work / "dict", dictionary, lexicon, data.symbols, settings.guess)
    options = LangOptions(position_dependent_phones=settings.position_dependent)
    prepare_lang(work / "dict", UNKNOWN, work / "local_lang", work / "lang", options)
    last = _Stages(work, settings, data.num_frames).run()
    for name in COPIED:
        if name != "final.mdl" and (last / name).is_file():
            copy_file(last / name, out_dir / name)
        else:
            (out_dir / name).unlink(missing_ok=True)
    write_text(out_dir / "mfcc.conf", conf_text(settings.extraction))
    copy_file(last / "final.mdl", out_dir / "final.mdl")  # last: it stands for a whole model
    print((out_dir / "alignment_summary.txt").read_text(encoding="utf-8").split("phone occurrences")[0], end="", file=sys.stderr)


def conf_text(options: MfccOptions) -> str:
    """A Kaldi conf file of what is not as by default."""
    changed = {name: value for name, value in vars(options).items() if value != getattr(MfccOptions(), name)}
    fixed = {"sample_frequency": options.sample_frequency, "num_mel_bins": options.num_mel_bins, "num_ceps": options.num_ceps}
    return "".join(f"--{name.replace('_', '-')}={str(value).lower()}\n" for name, value in (fixed | changed).items())


class _Stages:
    """The trainings one after another, each on the alignments of the one before."""

    def __init__(self, work: Path, settings: TrainAlignerSettings, num_frames: int) -> None:
        self.data, self.lang, self.work, self.settings = work / "data", work / "lang", work, settings
        leaves = settings.num_leaves or min(max(num_frames // FRAMES_A_LEAF, LEAVES[0]), LEAVES[1])
        self.leaves, self.totgauss = leaves, settings.totgauss or GAUSSIANS_A_LEAF * leaves
        self.run_options = RunOptions(settings.num_threads)

    def run(self) -> Path:
        """The directory of the last stage's model."""
        for stage in STAGES[: STAGES.index(self.settings.last_stage) + 1]:
            directory = self.work / stage
            print(f"train-aligner: {directory}", file=sys.stderr)
            getattr(self, f"_{stage}")(directory)
        return directory

    def _training(self, totgauss: int, mono: bool = False) -> GmmTrainingOptions:
        settings = self.settings
        schedule = (40, 30, totgauss, MONO_REALIGN_ITERS) if mono else (35, 25, totgauss, REALIGN_ITERS)
        beam = 6.0 if mono else 10.0
        return GmmTrainingOptions(
            *schedule, boost_silence=settings.boost_silence, initial_beam=beam, max_failed=settings.max_failed
        )

    def _sizes(self, stage: str) -> tuple[int, GmmTrainingOptions]:
        leaves = max(int(self.leaves * SHARE_OF_LEAVES[stage]), 1)
        return leaves, self._training(max(int(self.totgauss * SHARE_OF_LEAVES[stage]), leaves))

    def _aligned(self, stage: str) -> Path:
        """The alignments with a stage's model."""
        source, directory, settings = self.work / stage, self.work / f"{stage}_ali", self.settings
        options = AlignSiOptions(run=self.run_options, max_failed=settings.max_failed, boost_silence=settings.boost_silence)
        mark = directory / ".made_from"
        digest = fingerprint([options.boost_silence, source / "final.mdl", self.data / "text", self.lang / "L.fst"])
        if not (mark.is_file() and mark.read_text() == digest):
            align_si(self.data, self.lang, source, directory, options)
            write_text(mark, digest)
        return directory

    def _mono(self, directory: Path) -> None:
        training = self._training(min(1000, self.totgauss), mono=True)
        train_mono(self.data, self.lang, directory, MonoOptions(training, self.run_options))

    def _deltas(self, directory: Path) -> None:
        leaves, training = self._sizes("deltas")
        options = DeltasOptions(leaves, training, run=self.run_options)
        train_deltas(self.data, self.lang, self._aligned("mono"), directory, options)

    def _lda(self, directory: Path) -> None:
        leaves, training = self._sizes("lda")
        alignments = self._aligned("deltas")
        with KaldiReader.open(alignments / "ali_train_pdf.counts") as reader:
            spoken = reader.read_float_vector() > 0.5  # half a frame is added to each
        silence = pdfs_of_phones(TransitionModel.read_file(alignments / "final.mdl"), GmmLang.load(self.lang).silence_phones)
        spoken[silence] = False
        dim = min(LDA_DIM, int(spoken.sum()) - 1)  # fewer where there is little speech: the classes span no more
        options = LdaMlltOptions(leaves, training, run=self.run_options, dim=dim, splice_opts=SPLICE_OPTS)
        train_lda_mllt(self.data, self.lang, alignments, directory, options)

    def _sat(self, directory: Path) -> None:
        leaves, training = self._sizes("sat")
        train_sat(self.data, self.lang, self._aligned("lda"), directory, SatOptions(leaves, training, run=self.run_options))
