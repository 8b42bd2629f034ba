"""A page of HTML in one file: headings, text, tables, and pictures inside of it. It loads nothing and runs nothing.

Each function returns HTML and escapes the text that it is given; what is called a part is HTML already.
"""

import base64
import hashlib
import html
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #fff; --line: #d0d7de; --tint: #f6f8fa;
  --link: #0550ae; --plate: 1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4af; --paper: #0d1117; --line: #3d444d; --tint: #161b22; --link: #79b8ff;
    --plate: .88; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3, h4 { line-height: 1.25; margin: 2rem 0 .6rem; }
h1 { font-size: 1.7rem; margin-top: 1rem; }
h2 { font-size: 1.35rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); margin-top: 3rem; }
h3 { font-size: 1.1rem; }
h4 { font-size: 1rem; color: var(--soft); margin-top: 1.4rem; }
p, li, dd { max-width: 46rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; background: var(--paper); padding: .6rem; }
.skip:focus { left: 1rem; top: 1rem; z-index: 1; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; }
nav a { display: inline-block; padding: .3rem 0; }
.scroll { overflow-x: auto; width: fit-content; max-width: 100%; margin: 1rem 0; border: 1px solid var(--line);
  border-radius: 6px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--line); }
tr:last-child > * { border-bottom: 0; }
thead th { background: var(--tint); }
tbody th { font-weight: 600; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.2rem;
  align-items: start; margin: 1rem 0; }
.pictures.small { grid-template-columns: repeat(auto-fill, minmax(min(46%, 11rem), 1fr)); gap: .6rem; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; filter: brightness(var(--plate)); }
.wide { padding: .7rem; }
.wide figure { width: 66rem; }
.wide img { border: 0; }
figcaption { color: var(--soft); font-size: .875rem; margin-top: .35rem; }
pre { overflow-x: auto; padding: .7rem; background: var(--tint); border: 1px solid var(--line); border-radius: 6px;
  font: .85rem/1.5 ui-monospace, monospace; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .25rem 1rem; }
dt { color: var(--soft); }
dd { margin: 0; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .35rem 0; font-weight: 600; }
@media print { nav, .skip { display: none; } .scroll { overflow: visible; } }
"""


def heading(level: int, text: str) -> str:
    return f"<h{level}>{html.escape(text)}</h{level}>"


def text(words: str) -> str:
    return f"<p>{html.escape(words)}</p>"


def items(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def facts(values: Mapping[str, str]) -> str:
    """Names with their values."""
    pairs = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in values.items())
    return f"<dl>{''.join(pairs)}</dl>"


def code(lines: str) -> str:
    return f"<pre><code>{html.escape(lines)}</code></pre>"


def details(summary: str, *parts: str) -> str:
    """What is seen only when it is asked for."""
    return f"<details><summary>{html.escape(summary)}</summary>{''.join(parts)}</details>"


def table(rows: Sequence[Sequence[str]], name: str) -> str:
    """A table of cells, the first row its head, the first cell of each row what the row is about.

    A screen too narrow for it scrolls it alone, by the keyboard too.
    """

    def row(cells, first, others):
        scopes = {"th": ' scope="row"', "col": ' scope="col"', "td": ""}
        kinds = [first, *[others] * (len(cells) - 1)]
        tags = ["th" if kind == "col" else kind for kind in kinds]
        marked = zip(tags, kinds, cells, strict=True)
        return "<tr>" + "".join(f"<{tag}{scopes[kind]}>{html.escape(c)}</{tag}>" for tag, kind, c in marked) + "</tr>"

    head, body = row(rows[0], "col", "col"), "".join(row(cells, "th", "td") for cells in rows[1:])
    box = f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(name)}">'
    return f"{box}<table><thead>{head}</thead><tbody>{body}</tbody></table></div>"


class Album:
    """The pictures of a page, each of which is a PNG file too."""

    def __init__(self, folder: pathlib.Path):
        self._folder, self._names = folder, set()

    def picture(self, words: Sequence[str], draw: Callable[[pathlib.Path], None], alt: str, caption: str = "") -> str:
        """Has a picture drawn and takes it into the page.

        Args:
            words: what the file is called, if no other is.
            draw: writes the file.
            alt: what it shows, for who cannot see it.
        """
        name = stem = re.sub(r"[^\w.=+]+", "-", "-".join(words)).strip("-.")[:100]
        number = 1
        while name.lower() in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name.lower())
        file = self._folder / f"{name}.png"
        draw(file)
        data = base64.b64encode(file.read_bytes()).decode()
        image = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
        return f"<figure>{image}{f'<figcaption>{html.escape(caption)}</figcaption>' * bool(caption)}</figure>"


def pictures(parts: Iterable[str], *, small: bool = False) -> str:
    """As many pictures side by side as there is room for."""
    return f'<div class="pictures{" small" * small}">{"".join(parts)}</div>'


def wide(part: str) -> str:
    """A picture with much in it: a screen too narrow scrolls it rather than make it too small."""
    return f'<div class="scroll wide" role="region" tabindex="0" aria-label="Wide picture">{part}</div>'


def page(title: str, introduction: Sequence[str], sections: Mapping[str, Sequence[str]]) -> str:
    """The whole page.

    Args:
        introduction: parts that stand before the list of sections.
        sections: parts by heading.
    """
    names = {name: re.sub(r"\W+", "-", name.lower()) for name in sections}
    links = "".join(f'<li><a href="#{names[name]}">{html.escape(name)}</a></li>' for name in sections)
    body = "".join(
        f'<section aria-labelledby="{names[name]}"><h2 id="{names[name]}">{html.escape(name)}</h2>'
        f"{''.join(parts)}</section>\n"
        for name, parts in sections.items()
    )
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header>
<h1>{html.escape(title)}</h1>
{"".join(introduction)}
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="content" tabindex="-1">
{body}</main>
</body>
</html>
"""
