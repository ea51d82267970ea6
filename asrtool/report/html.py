"""The few HTML elements that a report is made of; all text that goes in is escaped here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

TALL = 25  # rows: longer tables scroll on a screen

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --text: #1d2329; --soft: #5c6670; --line: #d5dae0; --card: #f5f7f9;
  --accent: #2f6fae; --heat: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --page: #14181c; --text: #dfe4e9; --soft: #98a3ad; --line: #343c44;
  --card: #1c2228; --accent: #6aa9e0; --heat: #e39a4b; } }
@media print { :root { color-scheme: light; --page: #ffffff; --text: #000000; --soft: #444444; --line: #bbbbbb;
  --card: #ffffff; --accent: #1f4f80; --heat: #c8701a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.5rem 4rem; max-width: 76rem; background: var(--page); color: var(--text);
  font: .94rem/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: .95rem; margin: 1.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 62rem; }
a { color: var(--accent); }
nav { margin: .8rem 0 0; font-size: .9rem; }
nav a { margin-right: 1rem; white-space: nowrap; }
.soft, figcaption { color: var(--soft); font-size: .87rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.1rem 0; padding: 0; }
.cards div { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem; }
.cards dt { color: var(--soft); font-size: .8rem; }
.cards dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.cards dd span { display: block; font-size: .8rem; font-weight: 400; color: var(--soft); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.2rem; align-items: start; }
figure { margin: 0; break-inside: avoid; min-width: 0; }
svg.plot { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
.tall { max-height: 32rem; overflow-y: auto; }
.tall thead th { position: sticky; top: 0; background: var(--page); }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .4rem 0; }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, .left { text-align: left; }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; white-space: normal; max-width: 6.5rem; line-height: 1.25; }
tr { break-inside: avoid; }
td b { color: var(--accent); }
td.wrap { white-space: normal; text-align: left; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; margin: .4rem 0;
  font: .8rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.columns { columns: 3 15rem; }
@page { margin: 12mm; }
@media print {
  html { font-size: 10px; }
  body { padding: 0; max-width: none; }
  nav { display: none; }
  h1, h2, h3 { break-after: avoid; }
  .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; }
  .scroll { overflow: visible; max-height: none; }
  th, td { padding-right: .6rem; }
  .columns { columns: 4; }
  svg.plot { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


@dataclass(frozen=True)
class Markup:
    """HTML as it stands; text that is not Markup is escaped."""

    text: str

    def __str__(self) -> str:
        return self.text


def html(content: object) -> str:
    """Escaped text, or markup as it stands; None is a dash."""
    if isinstance(content, Markup):
        return content.text
    return "–" if content is None else escape(str(content))


def _class(name: str, applies: bool) -> str:
    return f' class="{name}"' if applies else ""


def bold(content: object) -> Markup:
    return Markup(f"<b>{html(content)}</b>")


def paragraph(content: object, soft: bool = False) -> str:
    return f"<p{_class('soft', soft)}>{html(content)}</p>"


def table(header: Sequence[object], rows: Iterable[Sequence[object]], wrap_last: bool = False) -> str:
    """The first column is text, the others numbers; `wrap_last` makes the last one running text."""
    last = len(header) - 1

    def cell(index: int, content: object) -> str:
        return f"<td{_class('wrap', wrap_last and index == last)}>{html(content)}</td>"

    head = "".join(
        f'<th scope="col"{_class("left", wrap_last and index == last)}>{html(name)}</th>' for index, name in enumerate(header)
    )
    body = "\n".join(f"<tr>{''.join(cell(index, content) for index, content in enumerate(row))}</tr>" for row in rows)
    tall = " tall" if body.count("\n") > TALL else ""
    return f'<div class="scroll{tall}"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def figure(svg: str, caption: object) -> str:
    return f"<figure>\n{svg}\n<figcaption>{html(caption)}</figcaption>\n</figure>"


def grid(elements: Sequence[str]) -> str:
    return '<div class="grid">\n' + "\n".join(elements) + "\n</div>"


def cards(entries: Sequence[tuple[str, object, object]]) -> str:
    """Headline figures: (what, value, remark)."""
    items = "\n".join(
        f"<div><dt>{html(what)}</dt><dd>{html(value)}<span>{html(remark)}</span></dd></div>" for what, value, remark in entries
    )
    return f'<dl class="cards">\n{items}\n</dl>'


def preformatted(text: str, columns: bool = False) -> str:
    return f"<pre{_class('columns', columns)}>{escape(text)}</pre>"


def page(title: str, subtitle: object, sections: Sequence[tuple[str, str, str]], footer: object) -> str:
    """A whole page.

    Args:
        sections: (id, heading, content); the first one goes without a heading.
    """
    links = "\n".join(f'<a href="#{key}">{html(heading)}</a>' for key, heading, _ in sections[1:])
    first, *others = (content for _, _, content in sections)
    body = "\n".join(
        f'<section id="{key}">\n<h2>{html(heading)}</h2>\n{content}\n</section>'
        for (key, heading, _), content in zip(sections[1:], others)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{html(title)}</h1>
{paragraph(subtitle)}
<nav>
{links}
</nav>
</header>
<main>
{first}
{body}
</main>
<footer>{paragraph(footer, soft=True)}</footer>
</body>
</html>
"""
