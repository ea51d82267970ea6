"""Writing and reading an ARPA file of five million n-grams, and scoring text, against line-by-line Python.

Prints lm_arpa_write, lm_arpa_read in n-grams per CPU second; the reference does a twentieth of the lines. The greatest memory of
this process goes to standard error.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import lm_large_text
import numpy as np

from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.columns import Scratch
from asrtool.lm.counts import count_token_files
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.perplexity import file_perplexity
from asrtool.lm.token_files import make_token_files


def cpu(call):
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def read_lines(path: Path, number: int) -> dict:
    """The obvious reader: n-gram -> (log10 probability, weight)."""
    found = {}
    with open(path) as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if len(fields) > 1:
                found[tuple(fields[1].split(" "))] = float(fields[0]), float(fields[2]) if len(fields) > 2 else 0.0
                if len(found) == number:
                    break
    return found


def main() -> None:
    million = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    with tempfile.TemporaryDirectory() as folder:
        text, path = Path(folder) / "text", Path(folder) / "lm.arpa"
        lm_large_text.write_text(text, int(million * 5e5) // 20 * 20)
        tokens = make_token_files([str(text)], folder)
        model = estimate(count_token_files(tokens, 3, Scratch()), tokens.vocabulary)[0]
        number = sum(model.num_ngrams())
        write_arpa(Path(folder) / "warm.arpa", model)  # loads the kernels
        for name, wanted in (("lm.arpa", path), ("lm.arpa.gz", Path(folder) / "lm.arpa.gz")):
            write_s, _ = cpu(lambda wanted=wanted: write_arpa(wanted, model))
            read_s, again = cpu(lambda wanted=wanted: read_arpa(wanted))
            rates = f"write {number / write_s:.0f} read {number / read_s:.0f} n-grams/CPU-s"
            print(f"# {name}: {number} n-grams, {wanted.stat().st_size / 2**20:.0f} MiB, {rates}", file=sys.stderr)
        assert all(np.array_equal(one, other) for one, other in zip(model.keys, again.keys))
        read_s, _ = cpu(lambda: read_arpa(path))
        part = number // 20
        reference_s, found = cpu(lambda: read_lines(path, part))
        line_s, _ = cpu(lambda: [f"{prob:.7g}\t{' '.join(ngram)}\t{weight:.7g}\n" for ngram, (prob, weight) in found.items()])
        write_s, _ = cpu(lambda: write_arpa(path, model))
        score_s, result = cpu(lambda: file_perplexity(model, text))
        for name, ours, reference in (("write", number / write_s, part / line_s), ("read", number / read_s, part / reference_s)):
            print(f"lm_arpa_{name} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.2f} unit=n-grams/CPU-s")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"# scoring {result.num_words / score_s:.0f} words/CPU-s; most memory {memory:.2f} GiB", file=sys.stderr)


if __name__ == "__main__":
    main()
