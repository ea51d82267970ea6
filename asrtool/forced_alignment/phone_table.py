"""The phones of a model: which are silence, and how a pronunciation is spelled with them."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import HmmTopology
from asrtool.io.symbols import SymbolTable
from asrtool.lang.dictionary import POSITION_SUFFIXES

SILENCE_NAMES = ("SIL", "sil")
NOISE_NAMES = ("SPN", "spn", "NSN", "nsn", "LAU", "lau", "<unk>", "OOV")


@dataclass(frozen=True)
class PhoneTable:
    """
    Attributes:
        symbols: name -> id, without epsilon and disambiguation symbols.
        position_dependent: phones have a form for each place in a word (_B, _E, _I, _S).
        silence: name of the optional silence.
        spoken_noise: name of the phone that stands for unknown words; that of silence where the model has no other.
        silences: names of all silence phones, without place.
        name: the file, for messages.
    """

    symbols: SymbolTable
    position_dependent: bool
    silence: str
    spoken_noise: str
    silences: frozenset[str]
    name: str

    @classmethod
    def of_model(cls, path: Path, topology: HmmTopology) -> "PhoneTable":
        """From phones.txt; silence phones are those of another topology than most, or that are called as usual.

        Raises:
            AsrtoolError: no such file, phones of the model that it lacks, or no silence.
        """
        symbols = SymbolTable.read(path)
        missing = sorted(set(topology.phones) - set(symbols.id_to_symbol))
        if missing:
            raise AsrtoolError(f"{path}: phone {missing[0]} of the model is not in it; is it that of final.mdl?")
        names = [symbols.symbol(phone) for phone in topology.phones]
        dependent = any(name.endswith(POSITION_SUFFIXES) for name in names)
        entries = topology.entry_of_phone
        sizes = [sum(entry == index for entry in entries.values()) for index in range(len(topology.entries))]
        odd = {symbols.symbol(phone) for phone, entry in entries.items() if sizes[entry] < max(sizes)}
        usual = {name for name in names if _plain(name, dependent) in (*SILENCE_NAMES, *NOISE_NAMES)}
        silences = {_plain(name, dependent) for name in odd | usual}
        silence = next((name for name in (*SILENCE_NAMES, *sorted(silences)) if name in silences), None)
        if silence is None or silence not in symbols:
            raise AsrtoolError(f"{path}: no silence phone among those of the model (SIL or sil)")
        noise = next((name for name in (*NOISE_NAMES, *sorted(silences - {silence})) if name in silences), silence)
        return cls(symbols, dependent, silence, noise, frozenset(silences), str(path))

    def spell(self, phones: tuple[str, ...]) -> list[int] | None:
        """The ids of a word's phones; None where the model lacks one."""
        marked = phones
        if self.position_dependent:
            inner = [f"{phone}_I" for phone in phones[1:-1]]
            marked = (f"{phones[0]}_S",) if len(phones) == 1 else (f"{phones[0]}_B", *inner, f"{phones[-1]}_E")
        ids = [self.symbols.symbol_to_id.get(phone) for phone in marked]
        return None if None in ids else ids

    def lacks(self, phones: tuple[str, ...]) -> str:
        """The first phone of a word that the model lacks."""
        return next((phone for phone in phones if self.spell((phone,)) is None), phones[0])

    def plain(self, phone: int) -> str:
        """A phone's name without its place."""
        return _plain(self.symbols.symbol(phone), self.position_dependent)


def _plain(name: str, position_dependent: bool) -> str:
    return name[:-2] if position_dependent and name.endswith(POSITION_SUFFIXES) else name
