"""What the commands' argument parsers share: Kaldi's habits on top of argparse."""

import argparse
from pathlib import Path


def parser(verb: str, doc: str, example: str | None = None) -> argparse.ArgumentParser:
    """A parser whose help starts with the command's docstring and may end with an example line."""
    return argparse.ArgumentParser(
        prog=f"asrtool {verb}",
        description=doc,
        epilog=f"e.g.: {example}" if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def boolean(text: str) -> bool:
    """Kaldi writes `--option true` or `--option false`."""
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")


def existing_path(text: str) -> Path:
    """A file or directory that must be there."""
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text}: no such file or directory")
    return path
