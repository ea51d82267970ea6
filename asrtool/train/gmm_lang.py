"""What GMM training needs of a lang directory."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import HmmTopology
from asrtool.io.symbols import SymbolTable

PHONE_FILES = ("phones/sets.int", "phones/silence.int", "phones/optional_silence.int")
FILES = ("phones.txt", "words.txt", "topo", "L.fst", "oov.int", *PHONE_FILES)


@dataclass(frozen=True)
class GmmLang:
    """Phone lists are ids; `fingerprint_files` determine the training graphs and the model's shape."""

    path: Path
    topology: HmmTopology
    phones: SymbolTable
    phone_sets: list[list[int]]
    silence_phones: list[int]
    optional_silence: list[int]

    @classmethod
    def load(cls, path: str | Path) -> "GmmLang":
        """
        Raises:
            AsrtoolError: a file is missing or damaged.
        """
        path = Path(path)
        for name in FILES:
            if not (path / name).is_file():
                raise AsrtoolError(f"{path / name}: no such file; make the lang directory with utils/prepare_lang.sh")
        return cls(
            path,
            HmmTopology.read_file(path / "topo"),
            SymbolTable.read(path / "phones.txt"),
            read_int_lists(path / "phones/sets.int"),
            [phone for row in read_int_lists(path / "phones/silence.int") for phone in row],
            [phone for row in read_int_lists(path / "phones/optional_silence.int") for phone in row],
        )

    @property
    def fingerprint_files(self) -> list[Path]:
        return [self.path / name for name in FILES]

    def check_same_phones(self, other: Path) -> None:
        """AsrtoolError where another directory's phones.txt has other phones (Kaldi's check_phones_compatible.sh)."""
        if other.is_file():
            compare_phone_tables(self.path / "phones.txt", other)


def read_int_lists(path: Path) -> list[list[int]]:
    """Lines of integers."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fields = line.split()
        if not all(field.isdecimal() for field in fields):
            raise AsrtoolError(f"{path}: line {number}: expected integers, found '{line[:60]}'; make the lang directory again")
        if fields:
            rows.append([int(field) for field in fields])
    return rows


def compare_phone_tables(one: Path, two: Path) -> None:
    """AsrtoolError that names the first phone in which two phones.txt differ; disambiguation symbols (#0, ...) may."""
    tables = [
        {line.split()[0]: line.split()[-1] for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"}
        for path in (one, two)
    ]
    for phone in sorted(set(tables[0]) | set(tables[1])):
        numbers = [table.get(phone) for table in tables]
        if numbers[0] != numbers[1]:
            said = [f"is number {number}" if number is not None else "is absent" for number in numbers]
            raise AsrtoolError(
                f"{two}: phone '{phone}' {said[1]}, but {said[0]} in {one}: the two come from different lang directories"
            )
