# SPDX-License-Identifier: Apache-2.0
"""A page of HTML that needs nothing but itself: sections of text, tables, and pictures inside the file."""

import base64
import html
from typing import NamedTuple

_STYLE = """
body { font-family: sans-serif; line-height: 1.4; color: #222; max-width: 72em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ccc; }
p { max-width: 48em; }
table { border-collapse: collapse; } th, td { text-align: left; padding: 0.15em 1.2em 0.15em 0; vertical-align: top; }
th { border-bottom: 1px solid #ccc; } td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5em; }
figure { margin: 0; max-width: 100%; } figcaption { font-size: 0.9em; } img { max-width: 100%; }
"""


class Picture(NamedTuple):
    """A picture of a section.

    Attributes:
      caption: text above it, which also stands for it where it cannot be seen.
      png: the file's bytes.
      width: how wide it is shown at most, in pixels of the page.
    """

    caption: str
    png: bytes
    width: int


class Section(NamedTuple):
    """A section of a page.

    Attributes:
      title: its heading.
      text: a paragraph, or empty.
      head: the heads of a table's columns, or empty.
      rows: the table's rows, each a tuple of texts.
      pictures: `Picture`s, side by side where there is room.
    """

    title: str
    text: str = ""
    head: tuple = ()
    rows: tuple = ()
    pictures: tuple = ()


def page(title, sections):
    """The page, as text.

    Args:
      title: of the page.
      sections: `Section`s. All texts are plain, and escaped here.
    """
    body = "\n".join(map(_section, sections))
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
            f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n")


def _section(section):
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.rows:
        head = [f"<thead>{_row('th', section.head)}</thead>"] if section.head else []
        rows = "\n".join(_row("td", row) for row in section.rows)
        parts.append("\n".join(["<table>", *head, f"<tbody>\n{rows}\n</tbody>", "</table>"]))
    if section.pictures:
        parts.append("\n".join(['<div class="pictures">', *map(_figure, section.pictures), "</div>"]))
    return "\n".join(["<section>", *parts, "</section>"])


def _row(kind, cells):
    return f"<tr>{''.join(f'<{kind}>{html.escape(str(cell))}</{kind}>' for cell in cells)}</tr>"


def _figure(picture):
    caption = html.escape(picture.caption)
    data = base64.b64encode(picture.png).decode("ascii")
    return (f'<figure style="width: {picture.width}px"><figcaption>{caption}</figcaption>'
            f'<img alt="{caption}" src="data:image/png;base64,{data}"></figure>')
