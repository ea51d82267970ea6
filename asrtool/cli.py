"""`asrtool VERB ...`: finds the verb's file in `asrtool/bin/` and runs its `main(arguments)`.

A verb's summary is the first line of its file, read as text: `asrtool --help` imports no verb and so
answers at once.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from asrtool import __version__
from asrtool.errors import AsrtoolError


def verbs() -> dict[str, str]:
    """Verb -> one-line summary, in alphabetical order."""
    found = {}
    for path in sorted((Path(__file__).parent / "bin").glob("*.py")):
        if path.stem.startswith("_"):
            continue
        with open(path, encoding="utf-8") as file:
            found[path.stem.replace("_", "-")] = file.readline().strip().strip('"').strip()
    return found


def usage() -> str:
    known = verbs()
    width = max(map(len, known), default=0)
    lines = [f"asrtool {__version__}", "", "Usage: asrtool VERB [options] ...    (asrtool VERB --help tells a verb's own)", ""]
    return "\n".join(lines + [f"  {verb:<{width}}  {summary}" for verb, summary in known.items()])


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 1
    if arguments[0] == "--version":
        print(__version__)
        return 0
    verb = arguments[0]
    module = f"asrtool.bin.{verb.replace('-', '_')}"
    if verb.startswith("_") or importlib.util.find_spec(module) is None:
        print(f"asrtool: no verb '{verb}'; 'asrtool --help' lists them", file=sys.stderr)
        return 1
    return guarded(f"asrtool {verb}", importlib.import_module(module).main, arguments[1:])


def guarded(name: str, command: Callable[[list[str]], int | None], arguments: list[str]) -> int:
    """Runs a command; what a user can mend becomes one line on standard error that starts with `name`, and status 1."""
    try:
        return command(arguments) or 0
    except AsrtoolError as error:
        print(f"{name}: ERROR: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output (head, say) has gone: no fault of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        print(f"{name}: ERROR: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
