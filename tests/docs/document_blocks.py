"""Pages of the documentation taken apart: code blocks, commands in them and in the text, the functions and settings they name."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILE_LINE = re.compile(r"# file: (\S+)\n")
SCRIPT = re.compile(r"^(?:\./)?((?:steps|utils|egs|tests)/[\w./-]+\.sh)$")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A block of code; `info` is what stands after the fence, None for an indented one."""

    page: str
    line: int
    info: str | None
    body: str

    @property
    def file(self) -> str | None:
        """The file that the block is, by its first line."""
        found = FILE_LINE.match(self.body)
        return found.group(1) if found else None

    @property
    def content(self) -> str:
        """Of that file."""
        return FILE_LINE.sub("", self.body, count=1)


def blocks(page: Path) -> list[Block]:
    """Fenced and indented blocks in their order."""
    found, name, lines, number = [], name_of(page), page.read_text(encoding="utf-8").splitlines(), 0
    while number < len(lines):
        first = number + 1
        if lines[number].startswith("```"):
            info, body = lines[number][3:].strip(), []
            number += 1
            while not lines[number].startswith("```"):
                body.append(lines[number])
                number += 1
            found.append(Block(name, first, info, "".join(f"{line}\n" for line in body)))
        elif lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            body = []
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                body.append(lines[number][4:])
                number += 1
            found.append(Block(name, first, None, "".join(f"{line}\n" for line in body).rstrip("\n") + "\n"))
            continue
        number += 1
    return found


def made_files() -> set[str]:
    """Files that pages tell their readers to write."""
    return {block.file for page in PAGES for block in blocks(page) if block.file}


def prose(page: Path) -> str:
    """The page without its blocks, and without what is not ours: columns of Kaldi's names or messages, "Kaldi's `name`"."""
    lines, fenced, others = [], False, False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            others = line.startswith("|") and (others or line.startswith(("| Kaldi", "| message")))
            lines.append("|" + line.partition("|")[2].partition("|")[2] if others else line)
    return re.sub(r"Kaldi's `[^`]*`", "Kaldi's", "\n".join(lines))


def commands(page: Path) -> list[list[str]]:
    """The words of every command of ours that the page shows: `asrtool VERB ...` or a script of steps/, utils/, egs/, tests/."""
    texts = re.findall(r"`([^`\n]+)`", prose(page))
    for block in blocks(page):
        if block.info in (None, "", "sh", "text") and not (block.file or "").endswith(".yaml"):
            texts += re.sub(r"\\\n\s*", " ", block.content).splitlines()
    found = []
    for text in texts:
        for part in re.split(r"\||;|&&|\$\(|<\(", text):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                words = part.split()
            while words and (words[0] in ("for", "do", "if", "exec") or re.match(r"[A-Z_]+=", words[0])):
                words = words[1:]
            if words and (SCRIPT.match(words[0]) or (words[0] == "asrtool" and len(words) > 1)):
                found.append(words)
    return found


def options(words: list[str]) -> list[str]:
    """Names of the options among words: `--nj 4` and `--cmvn-opts=...` alike."""
    return [word.partition("=")[0].rstrip(".,") for word in words if re.match(r"--[a-z]", word)]


def script_text(path: Path, seen: set[Path] | None = None) -> str:
    """A script with those that it sources, and a short one with what it calls."""
    text, seen = path.read_text(encoding="utf-8"), {path} if seen is None else seen
    called = r"(?:(?:utils|steps|local)/|\$0\"\)/)?[\w/.-]+\.(?:sh|py)"
    for name in re.findall(called if len(text.splitlines()) < 25 else r"^\s*\. .*?(utils/[\w-]+\.sh)", text, re.MULTILINE):
        name = name.partition(")/")[2] or name
        for other in (ROOT / name, path.parent.parent / name, path.parent / name):
            other = other.resolve()
            if other.is_file() and other not in seen and other.name not in ("parse_options.sh", "path.sh"):
                seen.add(other)
                text += script_text(other, seen)
                break
    return text
