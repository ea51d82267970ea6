"""A model of a long text: time and greatest memory of `asrtool train-lm`, from text to ARPA file.

The text is drawn, with a seed, from a Markov chain with Zipf-like words: each word draws a class of the next, a rank in a list of
that class, or now and then any word. Prints lm_large_text, where the reference is 15 minutes, and the greatest memory of all
processes together. Needs disk: about 6 bytes a word for the text and 100 for the rest.

Usage: lm_large_text.py [MILLION-WORDS] [ORDER] [FOLDER] [MEMORY-GIB] [further options of train-lm ...]
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

VOCABULARY = 200_000
WORDS_A_SENTENCE = 20
LIMIT_S = 900.0


def draw(num_words: int, seed: int) -> np.ndarray:
    """int64 [num_words]: ranks from 0. Each depends on the one before through a permutation of frequent ranks."""
    random = np.random.default_rng(seed)
    fresh = np.minimum(np.exp(random.random(num_words) * np.log(VOCABULARY)).astype(np.int64) - 1, VOCABULARY - 1)
    near = np.minimum(random.geometric(0.3, num_words) - 1, 60)
    follows = random.random(num_words) < 0.8
    words = fresh.copy()
    for _ in range(8):  # words that follow one another, up to 8 in a chain
        words[1:] = np.where(follows[1:], (words[:-1] * 40503 + near[1:] * 7919) % VOCABULARY % (words[:-1] + 5000), fresh[1:])
    return words


def write_text(path: Path, num_words: int) -> None:
    names = np.array([f"w{number:x}" for number in range(VOCABULARY)], dtype=object)
    with open(path, "w") as file:
        for part in range(0, num_words, 2_000_000):
            words = names[draw(min(2_000_000, num_words - part), part)].reshape(-1, WORDS_A_SENTENCE)
            file.writelines(" ".join(row) + "\n" for row in words.tolist())


def memory_of(pid: int) -> int:
    """Bytes resident in a process and its children, shared pages counted once each."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) * 1024 if line.startswith("Pss:") else 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(map(memory_of, map(int, (task / "children").read_text().split())))
    except OSError:  # gone
        return total
    return total


def main() -> None:
    million, order, folder, memory_gib = (*sys.argv[1:5], *("10", "5", tempfile.gettempdir(), "2")[len(sys.argv) - 1 :])
    num_words = int(float(million) * 1e6) // WORDS_A_SENTENCE * WORDS_A_SENTENCE
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        text, arpa = Path(work) / "text", Path(work) / "lm.arpa"
        write_text(text, num_words)
        command = [sys.executable, "-m", "asrtool.cli", "train-lm", "--order", order, "--nj", "2", "--memory-gib", memory_gib]
        start, before, most = time.perf_counter(), os.times(), 0
        process = subprocess.Popen([*command, *sys.argv[5:], str(text), str(arpa)])
        done = threading.Event()
        watch = threading.Thread(target=lambda: (process.wait(), done.set()))
        watch.start()
        while not done.wait(0.5):
            most = max(most, memory_of(process.pid))
        wall = time.perf_counter() - start
        watch.join()
        after = os.times()
        if process.returncode:
            sys.exit(process.returncode)
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        print(
            f"lm_large_text ours={wall:.0f} reference={LIMIT_S:.0f} ratio={LIMIT_S / wall:.2f} unit=s words={num_words} "
            f"order={order} cpu_s={cpu:.0f} most_memory_gib={most / 2**30:.2f} arpa_gib={arpa.stat().st_size / 2**30:.2f}"
        )


if __name__ == "__main__":
    main()
