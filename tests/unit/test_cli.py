"""The one installed command."""

import subprocess
import sys
import time

from asrtool import cli


def test_help_lists_every_verb_and_imports_nothing_heavy():
    code = (
        "import sys; from asrtool import cli; cli.main(['--help']); print(sorted({'torch', 'numba', 'numpy'} & set(sys.modules)))"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[-1] == "[]"
    shown = "\n".join(lines)
    assert cli.verbs() and all(verb in shown and summary for verb, summary in cli.verbs().items())


def test_help_costs_little_more_than_an_empty_python():
    def seconds(*words: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        return time.perf_counter() - start

    empty = min(seconds("-c", "pass") for _ in range(3))
    ours = min(seconds("-m", "asrtool.cli", "--help") for _ in range(3))
    assert ours < 10 * empty + 0.2


def test_unknown_verb_fails_with_one_line(capsys):
    assert cli.main(["no-such-verb"]) == 1
    assert capsys.readouterr().err == "asrtool: no verb 'no-such-verb'; 'asrtool --help' lists them\n"


def test_no_verb_fails_and_shows_usage(capsys):
    assert cli.main([]) == 1
    assert "Usage: asrtool VERB" in capsys.readouterr().out
