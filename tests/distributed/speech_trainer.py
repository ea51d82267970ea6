"""A trainer that takes outer gradients until it is killed: speech_trainer.py TOY_DIR, prints the ids of its processes."""

import sys
from pathlib import Path

from asrtool.criterion.sequence import SequenceOptions
from asrtool.nnet.model_file import load_model
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.process_source import ProcessSource


def main(root: Path) -> None:
    paths = SpeechPaths(root / "model.pt", root / "data", root / "ali", root / "lang", root / "graph")
    source = ProcessSource(SpeechOptions(num_processes=1), paths, SequenceOptions())
    model, names = load_model(paths.model).model, [line.split()[0] for line in (root / "data" / "text").read_text().splitlines()]
    source.publish(model, 0)
    source.begin([(name, 0) for name in names * 10000])
    for step, name in enumerate(names * 10000, 1):
        source.take(name)
        source.publish(model, step)
        if step == 1:
            print(*(one.process.pid for one in source._pool.workers), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
