"""From the texts of references and hypotheses to the tokens that are compared."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from asrtool.errors import AsrtoolError
from asrtool.lang.normalise import Normaliser
from asrtool.score.edit_distance import to_characters
from asrtool.score.text_files import Texts


@dataclass
class Preparation:
    """What both sides go through, in this order.

    Attributes:
        ignored: words that are taken out (silence, unknown words).
        normaliser: the chain of `--normalise`.
        reference_filter, hypothesis_filter: shell commands, Kaldi's local/wer_ref_filter and local/wer_hyp_filter: they read
            "utterance words" lines and write as many lines of this form.
        metric: "wer" compares words, "cer" characters.
        latin_words: CER counts runs of Latin letters and digits as one token (the mixed error rate, MER), else each letter.
    """

    ignored: frozenset[str] = frozenset()
    normaliser: Normaliser = field(default_factory=Normaliser)
    reference_filter: str = ""
    hypothesis_filter: str = ""
    metric: str = "wer"
    latin_words: bool = True

    def references(self, texts: Mapping[str, list[str]]) -> Texts:
        """Words of the references, ready to compare."""
        return self._words(texts, self.reference_filter)

    def hypotheses(self, texts: Mapping[str, list[str]]) -> Texts:
        """Words of the hypotheses, ready to compare."""
        return self._words(texts, self.hypothesis_filter)

    def _words(self, texts: Mapping[str, list[str]], command: str) -> Texts:
        kept = {u: self.normaliser([word for word in words if word not in self.ignored]) for u, words in texts.items()}
        return run_filter(command, kept) if command else kept

    def tokens(self, words: list[str]) -> list[str]:
        """Words or, for CER, characters."""
        return to_characters(words, self.latin_words) if self.metric == "cer" else words


def run_filter(command: str, texts: Mapping[str, list[str]]) -> Texts:
    """`texts` as lines through a shell command.

    Raises:
        AsrtoolError: the command fails, or its lines do not begin with the same utterances.
    """
    lines = "".join(" ".join([utterance, *words]) + "\n" for utterance, words in texts.items())
    done = subprocess.run(["bash", "-c", command], input=lines.encode(), capture_output=True, check=False)
    if done.returncode:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"])[0]
        raise AsrtoolError(f"filter '{command}' failed: {reason}")
    rows = [line.split() for line in done.stdout.decode(errors="replace").splitlines()]
    result = {row[0]: row[1:] for row in rows if row}
    if list(result) != list(texts):
        where = next((u for u, v in zip([*texts, "(end)"], [*result, ""]) if u != v), "(end)")
        raise AsrtoolError(f"filter '{command}': {where}: expected one line an utterance, in order, with the id first")
    return result
