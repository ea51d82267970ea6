"""Symbol tables: words.txt, phones.txt, "symbol id" a line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text


class SymbolTable:
    """A two-way map of symbols and ids (from 0; 0 is <eps> by convention)."""

    def __init__(self, symbol_to_id: dict[str, int], name: str = "symbol table") -> None:
        self.name = name
        self.symbol_to_id = symbol_to_id
        self.id_to_symbol = {number: symbol for symbol, number in symbol_to_id.items()}

    @classmethod
    def from_symbols(cls, symbols: Iterable[str]) -> Self:
        """Ids from 0 in the order given."""
        return cls({symbol: number for number, symbol in enumerate(symbols)})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads "symbol id" lines.

        Raises:
            AsrtoolError: no such file, a line of another form, or a symbol or id that occurs twice.
        """
        symbol_to_id: dict[str, int] = {}
        ids: set[int] = set()
        for number, line in enumerate(read_text(path, "no such symbol table").split("\n"), 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 2 or not fields[1].isdecimal():
                raise AsrtoolError(f"{path}: line {number}: expected 'symbol id', found '{line[:60]}'")
            symbol, symbol_id = fields[0], int(fields[1])
            if symbol in symbol_to_id or symbol_id in ids:
                raise AsrtoolError(f"{path}: line {number}: '{line[:60]}': this symbol or id occurs before")
            symbol_to_id[symbol] = symbol_id
            ids.add(symbol_id)
        return cls(symbol_to_id, str(path))

    def write(self, path: str | Path) -> None:
        """Writes "symbol id" lines in the order of the ids."""
        write_text(path, "".join(f"{symbol} {number}\n" for number, symbol in sorted(self.id_to_symbol.items())))

    def id(self, symbol: str) -> int:
        try:
            return self.symbol_to_id[symbol]
        except KeyError:
            raise AsrtoolError(f"{self.name}: no symbol '{symbol}'") from None

    def symbol(self, symbol_id: int) -> str:
        try:
            return self.id_to_symbol[int(symbol_id)]
        except KeyError:
            raise AsrtoolError(f"{self.name}: no symbol with id {symbol_id}") from None

    def symbols(self) -> list[str]:
        """All symbols in the order of their ids."""
        return [symbol for _, symbol in sorted(self.id_to_symbol.items())]

    def __contains__(self, symbol: str) -> bool:
        return symbol in self.symbol_to_id

    def __len__(self) -> int:
        return len(self.symbol_to_id)
