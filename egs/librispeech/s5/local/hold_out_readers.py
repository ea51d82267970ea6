"""Lists of a data directory's speakers (speaker-chapter) for training and validation, no reader in both.

`python local/hold_out_readers.py SHARE SEED DATA_DIR TRAINING_LIST VALIDATION_LIST`; readers are drawn until SHARE of the
utterances is theirs. For asrtool split-data-dir --speaker-lists.
"""

import random
import sys
from collections import Counter
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text


def reader_of(speaker: str) -> str:
    return speaker.partition("-")[0]


def choose_readers(utterances: Counter[str], share: float, seed: int) -> set[str]:
    """Readers, one at least and not all, drawn at random until `share` of the utterances (reader -> how many) is theirs.

    Raises:
        AsrtoolError: fewer than two readers, or a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise AsrtoolError(f"share {share}: expected a number between 0 and 1")
    if len(utterances) < 2:
        raise AsrtoolError(f"{len(utterances)} reader(s): validation needs readers of its own, so two at least")
    order = sorted(utterances)
    random.Random(seed).shuffle(order)
    chosen: set[str] = set()
    so_far = 0
    for reader in order[:-1]:
        chosen.add(reader)
        so_far += utterances[reader]
        if so_far >= share * utterances.total():
            break
    return chosen


def main(arguments: list[str]) -> int:
    options = parser("hold_out_readers.py", __doc__)
    options.add_argument("share", type=float)
    options.add_argument("seed", type=int)
    options.add_argument("data", type=Path)
    options.add_argument("training", type=Path)
    options.add_argument("validation", type=Path)
    given = options.parse_args(arguments)
    speakers = DataDir.load(given.data).utt2spk.values()
    counts = Counter(map(reader_of, speakers))
    try:
        readers = choose_readers(counts, given.share, given.seed)
    except AsrtoolError as error:
        raise AsrtoolError(f"{given.data}: {error}") from None
    for path, wanted in ((given.training, counts.keys() - readers), (given.validation, readers)):
        write_text(path, "".join(f"{speaker}\n" for speaker in sorted(set(speakers)) if reader_of(speaker) in wanted))
    held_out = sum(counts[reader] for reader in readers)
    sizes = f"{len(readers)} of {len(counts)} readers, {held_out} of {counts.total()} utterances"
    print(f"{given.data}: {sizes} for validation", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("hold_out_readers.py", main, sys.argv[1:]))
