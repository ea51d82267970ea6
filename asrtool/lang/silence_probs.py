"""How probable silence is beside each pronunciation: the extra fields of lexiconp_silprob.txt, and silprob.txt.

After Chen et al. 2015, "Pronunciation and silence probability modeling for ASR", in Kaldi's form. A line of
lexiconp_silprob.txt is

    word  probability  P(silence after it)  F(silence before it)  F(no silence before it)  phones

where the factors F say how much more often than the words before it suggest there is silence, or none, in front. silprob.txt
holds P(silence at the beginning) as <s>, the factors at the end as </s>_s and </s>_n, and the share of silence overall.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_text

NUM_SILENCE_FIELDS = 3
_NAMES = ("<s>", "</s>_s", "</s>_n", "overall")


def finite_number(text: str) -> float:
    """The finite number that a text spells, NaN if none."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def check_silence_fields(fields: tuple[str, ...], where: str) -> None:
    """Raises AsrtoolError where the fields about silence are not a probability in (0, 1) and two positive factors."""
    if len(fields) < NUM_SILENCE_FIELDS:
        raise AsrtoolError(f"{where}: expected a probability of silence and two factors before the phones")
    if not 0.0 < finite_number(fields[0]) < 1.0:
        raise AsrtoolError(f"{where}: expected a probability of silence in (0, 1), found '{fields[0]}'")
    for field in fields[1:]:
        if not finite_number(field) > 0.0:
            raise AsrtoolError(f"{where}: expected a factor above 0, found '{field}'")


@dataclass(frozen=True)
class SilenceProbs:
    """At the ends of an utterance.

    Attributes:
        begin: probability of silence before the first word.
        end_silence, end_none: factors of silence and of none before the end.
        overall: share of silence among all that stands before a word or an end.
    """

    begin: float
    end_silence: float
    end_none: float
    overall: float

    @classmethod
    def read(cls, path: str | Path) -> "SilenceProbs":
        """Reads silprob.txt.

        Raises:
            AsrtoolError: missing, a line that does not fit, or a value out of range.
        """
        values: dict[str, float] = {}
        lines = read_text(path, "no such file, but lexiconp_silprob.txt needs it; make both again").splitlines()
        for line_number, line in enumerate(lines, 1):
            fields = line.split()
            if len(fields) != 2 or fields[0] not in _NAMES or not finite_number(fields[1]) > 0.0:
                raise AsrtoolError(
                    f"{path}: line {line_number}: expected one of {' '.join(_NAMES)} and a number above 0, found '{line}'"
                )
            values[fields[0]] = finite_number(fields[1])
        for name in _NAMES:
            if name not in values:
                raise AsrtoolError(f"{path}: no line for {name}")
        if values["<s>"] >= 1.0 or values["overall"] > 1.0:
            raise AsrtoolError(f"{path}: the probabilities of <s> and overall must be below 1")
        return cls(*(values[name] for name in _NAMES))
