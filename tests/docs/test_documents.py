"""What pages say of the sources: verbs, scripts, options, files, functions, settings, messages, links."""

import ast
import contextlib
import functools
import importlib
import io
import re
from pathlib import Path

import pytest
import yaml
from document_blocks import PAGES, ROOT, blocks, commands, made_files, name_of, options, prose, script_text

from asrtool.cli import verbs

PAGE = pytest.mark.parametrize("page", PAGES, ids=name_of)


@functools.cache
def help_of(verb: str, *more: str) -> str:
    module = importlib.import_module(f"asrtool.bin.{verb.replace('-', '_')}")
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        module.main([*more, "--help"])
    return output.getvalue()


def test_every_verb_is_named_on_a_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [verb for verb in verbs() if not re.search(rf"(?<![\w-]){re.escape(verb)}(?![\w-])", text)]
    assert not missing, f"described nowhere: {', '.join(missing)}"


@PAGE
def test_commands_have_the_verbs_scripts_and_options_that_there_are(page):
    made, known, wrong = made_files(), verbs(), []
    for words in commands(page):
        if words[0] == "asrtool":
            verb = words[1].rstrip(",:")
            if verb.isupper() or verb.startswith("--"):
                continue
            if verb not in known:
                wrong.append(f"no verb: {' '.join(words)}")
                continue
            kinds = [word for word in words[2:3] if verb in ("show", "plan-resources") and re.match(r"[a-z][a-z0-9-]+$", word)]
            text = help_of(verb, *kinds)
            wrong += [f"{verb} has no {name}" for name in options(words[2:]) if not re.search(rf"{name}(?![\w-])", text)]
        elif words[0].removeprefix("./") not in made:
            script = ROOT / words[0].removeprefix("./")
            if not script.is_file():
                wrong.append(f"no script: {words[0]}")
                continue
            text = script_text(script)
            for name in options(words[1:]):
                variable = name[2:].replace("-", "_")
                if name not in ("--help", "--config") and not re.search(rf"(?<!\w){variable}=|{name}(?![\w-])", text):
                    wrong.append(f"{words[0]} has no {name}")
    assert not wrong, "\n".join(wrong)


@PAGE
def test_files_of_the_repository_that_are_named_are_there(page):
    made = made_files()
    pattern = r"(?<![\w/.-])((?:steps|utils|conf|tests|docs|asrtool|egs)/[\w./-]+\.(?:sh|py|ya?ml|conf|md|tsv))(?!\w)"
    named = {name for name in re.findall(pattern, prose(page)) if "..." not in name}
    missing = sorted(name for name in named if name not in made and not (ROOT / name).is_file())
    assert not missing, f"{name_of(page)} names {', '.join(missing)}"


@PAGE
def test_links_lead_somewhere(page):
    found = re.findall(r"\]\(([^)#\s]+)(#[^)\s]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target, _ in found if not re.match(r"https?:", target) and not (page.parent / target).exists()]
    assert not missing


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.is_file():
            reached.add(page)
            targets = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
            waiting += [(page.parent / target).resolve() for target in targets]
    assert set(PAGES) <= reached


PAPERS = [page for page in PAGES if page.parent.name == "papers"]


def names_in(path: Path) -> set[str]:
    """Functions, classes and methods (Class.method) that a file defines."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("page", PAPERS, ids=name_of)
def test_functions_of_the_papers_are_where_their_page_says(page):
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    named = re.findall(r"`(asrtool/[\w/]+\.py)`: `([\w.]+)`", text)
    assert len(named) >= 8
    wrong = [f"{path}: {name}" for path, name in named if name not in names_in(ROOT / path)]
    assert not wrong


def look_up(settings, key: str):
    """`a.b.c` in nested settings, whose keys may hold dots themselves."""
    if key in settings:
        return settings[key]
    head, _, rest = key.partition(".")
    return look_up(settings[head], rest)


@pytest.mark.parametrize("page", PAPERS, ids=name_of)
def test_settings_of_the_papers_have_the_values_that_their_page_says(page):
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    named = re.findall(r"`(conf/[\w/]+\.yaml)` `([\w.]+)` = `([^`]+)`", text)
    assert len(named) >= 12
    for path, key, value in named:
        settings = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        assert look_up(settings, key) == yaml.safe_load(value), f"{path}: {key}"


def strings_of_the_sources() -> list[str]:
    """Every string of the package (NUL for what is filled in), and every line of the scripts."""
    found = []
    for path in [*ROOT.glob("asrtool/**/*.py"), *ROOT.glob("utils/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    for path in [ROOT / "path.sh", *ROOT.glob("utils/*.sh"), *ROOT.glob("steps/**/*.sh")]:
        found += path.read_text(encoding="utf-8").splitlines()
    return found


def test_messages_of_the_troubleshooting_page_are_in_the_sources():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE)
    assert len(messages) >= 40
    sources = "\1".join(strings_of_the_sources())
    parts = [[re.escape(part.strip()) for part in message.split("...") if part.strip()] for message in messages]
    missing = [message for message, some in zip(messages, parts) if not re.search("[^\1]*".join(some), sources)]
    assert not missing


def test_the_readme_is_short_and_begins_with_the_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    first_screen = "\n".join(lines[:24])
    assert len(lines) <= 120
    assert "    egs/mini_mandarin/s5/run.sh" in first_screen and "    tests/run.sh" in first_screen


def test_commands_are_found_at_all():
    assert sum(len(commands(page)) for page in PAGES) > 200
    assert sum(len(blocks(page)) for page in PAGES) > 60
