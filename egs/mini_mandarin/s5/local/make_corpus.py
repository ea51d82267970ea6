"""Makes the synthetic voice-search corpus: `python local/make_corpus.py [options] CORPUS_DIR`.

The unit of work is a speaker, whatever --nj: first spoken (a fresh process of speak.py, into CORPUS_DIR/.work), then mixed
with room and noise. A finished speaker is kept, so that a killed run goes on where it was and ends with the same bytes.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from grammar import LISTS, Grammar
from plan import SPLITS, Plan, Settings, lm_text, make_plan, speaking_plan
from speakers import ESPEAK_RATE_HZ, Speaker

from asrtool.arguments import boolean, parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.progress import progress

if TYPE_CHECKING:
    from mix import SpeakerJob

HERE = Path(__file__).resolve().parent
VERSION = 1  # of the programs: raise it when they give other bytes
RATE_HZ = 16000
UTTERANCE_HEADER = "utterance\tspeaker\tduration_s\tnoise\tsnr_db\trt60_s\tlevel_db\n"


def check_settings(corpus: Path, settings: Settings) -> bool:
    """True if the corpus is there already; records the settings of a new one.

    Raises:
        AsrtoolError: the directory holds a corpus of other settings.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(LISTS.glob("*.txt")))).hexdigest()
    wanted = {**asdict(settings), "version": VERSION, "lists": digest[:16]}
    path = corpus / "settings.json"
    if path.is_file():
        try:
            found = {"clean": False} | json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise AsrtoolError(f"{path}: not JSON; remove {corpus}") from None
        for key, value in wanted.items():
            if found.get(key) != value:
                raise AsrtoolError(f"{path}: the corpus has {key} {found.get(key)}, not {value}; remove {corpus} or name another")
    elif corpus.is_dir() and any(corpus.iterdir()):
        raise AsrtoolError(f"{corpus}: not empty and no corpus of ours (no settings.json); name another directory")
    else:
        write_text(path, json.dumps(wanted, indent=1) + "\n")
    return (corpus / "stats.json").is_file()


def check_espeak() -> None:
    if importlib.util.find_spec("espeakng_loader") is None:
        raise AsrtoolError("the package espeakng-loader, which speaks, is missing: pip install 'espeakng-loader>=0.2.4,<0.3'")


def spoken_path(corpus: Path, speaker: Speaker, suffix: str) -> Path:
    return corpus / ".work" / "spoken" / f"{speaker.name}{suffix}"


def is_spoken(corpus: Path, speaker: Speaker) -> bool:
    return all(spoken_path(corpus, speaker, suffix).is_file() for suffix in (".json", ".phones"))


def speak(corpus: Path, speaker: Speaker, utterances: list, quota_s: float) -> None:
    """Runs speak.py for one speaker unless it has done so before."""
    if is_spoken(corpus, speaker):
        return
    plan_path = spoken_path(corpus, speaker, ".plan")
    write_text(plan_path, json.dumps(speaking_plan(speaker, utterances, quota_s)))
    command = [sys.executable, str(HERE / "speak.py"), str(plan_path), str(spoken_path(corpus, speaker, ""))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise AsrtoolError(f"{speaker.name} (espeak-ng variant {speaker.variant}): {why}")


def mixing_job(corpus: Path, split: str, speaker: Speaker, plan: Plan, settings: Settings) -> "SpeakerJob":
    from acoustics import Difficulty
    from mix import SpeakerJob

    others = [other for other in plan[split] if other != speaker] or [speaker]
    return SpeakerJob(
        name=speaker.name,
        resample_down=speaker.resample_down,
        utterances=[(planned.name, planned.before_s, planned.after_s) for planned in plan[split][speaker]],
        spoken=spoken_path(corpus, speaker, ".pcm"),
        counts=json.loads(spoken_path(corpus, speaker, ".json").read_text()),
        others=[spoken_path(corpus, other, ".pcm") for other in others],
        table=corpus / ".work" / "tables" / f"{speaker.name}.tsv",
        wav_dir=corpus / split / "wav" / speaker.name,
        seed=f"mix {speaker.name} {settings.seed}",
        difficulty=Difficulty(noisy_share=0.0, reverberant_share=0.0) if settings.clean else Difficulty(),
    )


def finished(futures: list) -> Iterator[None]:
    """Waits for all, in any order; the first failure cancels what has not begun."""
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise AsrtoolError("a process of the corpus was killed (too little memory?); start again, it goes on") from None
    finally:
        for future in futures:
            future.cancel()


def make_recordings(corpus: Path, plan: Plan, settings: Settings, num_jobs: int) -> None:
    everyone = [(split, speaker) for split in SPLITS for speaker in plan[split]]
    to_do = [(split, speaker) for split, speaker in everyone if not (corpus / split / "wav" / speaker.name).is_dir()]
    if not to_do and all(is_spoken(corpus, who) for _, who in everyone):
        return
    from mix import mix_speaker  # not above: scipy takes long to load

    with ThreadPoolExecutor(num_jobs) as pool:  # everyone: those already mixed may be babble for the others
        futures = [pool.submit(speak, corpus, who, plan[split][who], settings.quota_s(split)) for split, who in everyone]
        for _ in progress(finished(futures), len(futures), "speakers spoken"):
            pass
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # one thread a process
    with ProcessPoolExecutor(num_jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(mix_speaker, mixing_job(corpus, split, who, plan, settings)) for split, who in to_do]
        for _ in progress(finished(futures), len(futures), "speakers mixed"):
            pass


def phone_lines(corpus: Path, speaker: Speaker, utterances: list) -> Iterator[str]:
    """CTM lines of espeak-ng's phones in a speaker's recordings: where they begin there, and how long they are, in seconds."""
    seconds_per_sample = 441 / speaker.resample_down / ESPEAK_RATE_HZ
    for planned, phones in zip(utterances, json.loads(spoken_path(corpus, speaker, ".phones").read_text(encoding="utf-8"))):
        silence_s = int(planned.before_s * RATE_HZ) / RATE_HZ
        for name, start, end in phones:
            start_s, duration_s = silence_s + start * seconds_per_sample, (end - start) * seconds_per_sample
            yield f"{planned.name} 1 {start_s:.4f} {duration_s:.4f} {name}\n"


def write_lists(corpus: Path, plan: Plan, grammar: Grammar, settings: Settings) -> dict:
    """Transcripts, tables and LM text; returns the corpus's figures."""
    stats: dict = {"words_of_the_grammar": len(grammar.words())}
    sentences: set[str] = set()
    for split in SPLITS:
        words_of = {planned.name: planned.words for utterances in plan[split].values() for planned in utterances}
        table = [(corpus / ".work" / "tables" / f"{who.name}.tsv").read_text(encoding="utf-8") for who in plan[split]]
        rows = [line.split("\t") for line in "".join(table).splitlines()]
        write_text(corpus / split / "text", "".join(f"{row[0]} {' '.join(words_of[row[0]])}\n" for row in rows))
        lines = (line for who in plan[split] for line in phone_lines(corpus, who, plan[split][who]))
        write_text(corpus / split / "phones.ctm", "".join(lines))
        write_text(corpus / split / "utterances.tsv", UTTERANCE_HEADER + "".join(table))
        write_text(corpus / split / "speakers.tsv", "\n".join([Speaker.header(), *(who.row() for who in plan[split]), ""]))
        said = {"".join(words_of[row[0]]) for row in rows}
        sentences |= said
        stats[split] = {
            "speakers": len(plan[split]),
            "utterances": len(rows),
            "hours": round(sum(float(row[2]) for row in rows) / 3600.0, 3),
            "distinct_sentences": len(said),
            "distinct_words": len({word for row in rows for word in words_of[row[0]]}),
            "characters": sum(len(word) for row in rows for word in words_of[row[0]]),
        }
    stats["distinct_sentences_spoken"] = len(sentences)
    extra = lm_text(grammar, settings, plan)
    write_text(corpus / "lm_text", "".join(f"{line}\n" for line in extra))
    write_text(corpus / "words.txt", "".join(f"{word}\n" for word in grammar.words()))
    stats["lm_text"] = {"sentences": len(extra), "distinct_sentences": len(set(extra))}
    return stats


def make_corpus(corpus: Path, settings: Settings, num_jobs: int) -> None:
    """Makes the corpus or what is missing of it."""
    if check_settings(corpus, settings):
        print(f"make_corpus.py: {corpus} is there already", file=sys.stderr)
        return
    check_espeak()
    grammar = Grammar()
    plan = make_plan(grammar, settings)
    make_recordings(corpus, plan, settings, num_jobs)
    stats = write_lists(corpus, plan, grammar, settings)
    write_text(corpus / "stats.json", json.dumps(stats, indent=1) + "\n")  # last: says that the corpus is whole
    shutil.rmtree(corpus / ".work", ignore_errors=True)
    for leftover in corpus.glob("*/wav/.*.tmp*"):  # of killed runs
        shutil.rmtree(leftover, ignore_errors=True)
    print(f"make_corpus.py: {json.dumps(stats)}", file=sys.stderr)


def main(arguments: list[str]) -> int:
    options = parser("make_corpus.py", __doc__)
    default = Settings()
    options.add_argument("--hours", type=float, default=default.hours, help="of training speech; valid and test scale with it")
    options.add_argument("--seed", type=int, default=default.seed)
    options.add_argument("--nj", type=int, default=2, help="processes; changes nothing in the bytes")
    options.add_argument("--train-speakers", type=int, default=default.train_speakers)
    options.add_argument("--held-out-speakers", type=int, default=default.held_out_speakers, help="in valid and in test, each")
    options.add_argument("--lm-sentences", type=int, default=default.lm_sentences, help="lines of further text for the LM")
    options.add_argument("--clean", type=boolean, default=default.clean, help="true: no rooms, and no noise but the microphone's")
    options.add_argument("corpus", type=Path)
    given = options.parse_args(arguments)
    if not 0 < given.hours <= 100:
        raise AsrtoolError(f"--hours {given.hours}: expected more than 0 and at most 100")
    if min(given.nj, given.train_speakers, given.held_out_speakers) < 1 or given.lm_sentences < 0:
        raise AsrtoolError("--nj, --train-speakers and --held-out-speakers are at least 1, --lm-sentences at least 0")
    names = ("hours", "seed", "train_speakers", "held_out_speakers", "lm_sentences", "clean")
    settings = Settings(*(getattr(given, name) for name in names))
    make_corpus(given.corpus, settings, given.nj)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("make_corpus.py", main, sys.argv[1:]))
