# SPDX-License-Identifier: Apache-2.0
"""Files beside the pages: notebooks to download and the page to play with. Checks every link of the finished site."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

DOCS = Path(__file__).resolve().parents[1]
LOG = logging.getLogger(__name__)


def is_notebook(path):
    """Returns True if a page is a notebook, which the build executes."""
    return "\nkernelspec:" in path.read_text(encoding="utf-8")[:2000]


def _add_download(app, docname, source):
    """Writes the link to the notebook below the title of a tutorial, and turns links to files outside of docs/."""
    source[0] = _links_in_site(source[0])
    path = DOCS / f"{docname}.md"
    name = f"{path.stem}.ipynb"
    if path.exists() and is_notebook(path) and f"({name}" not in source[0]:
        link = f'\n<p class="download"><a href="{name}" download>Download this page as a notebook</a></p>\n'
        source[0] = re.sub(r"(?m)^(# .*)$", lambda title: f"{title[1]}\n{link}", source[0], count=1)


def _write_font(out):
    """Writes the font of the formulas, STIX Two Math (SIL Open Font License 1.1), which ziamath ships."""
    import ziamath
    from fontTools.ttLib import TTFont

    font = TTFont(Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf")
    font.flavor = "woff"
    font.save(out / "_static" / "STIXTwoMath.woff")


# Texts of the project outside of docs/, by the names of their pages in the site.
OUTSIDE = {"benchmarks/README.md": "benchmarks", "CHANGELOG.md": "changelog", "CONTRIBUTING.md": "contributing"}


def _add_outside_pages(app):
    """Writes pages of texts that are outside of docs/."""
    folder = DOCS / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    for path, name in OUTSIDE.items():
        text = (DOCS.parent / path).read_text(encoding="utf-8").replace("](../docs/", "](/").replace("](docs/", "](/")
        text = _links_in_site(re.sub(r"\[(`?[\w./]+`?)\]\((?!/|http|#)[^)]*\)", r"\1", text))
        target = folder / f"{name}.md"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def _links_in_site(text):
    """Lets links to files outside of docs/ lead to their pages in the site; others become code."""
    for path, name in OUTSIDE.items():
        text = re.sub(rf"\]\((?:\.\./)+{re.escape(path)}", f"](/api/generated/{name}.md", text)
    return re.sub(r"\[(`[^`\]]*`)\]\((?:\.\./)+README[^)]*\)", r"\1", text)


def _write_files(app, error):
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    _write_font(out)
    for path in DOCS.rglob("*.md"):
        if "_build" not in path.parts and is_notebook(path):
            import jupytext

            notebook = jupytext.read(path)
            notebook.metadata.pop("jupytext", None)
            target = out / path.relative_to(DOCS).with_suffix(".ipynb")
            target.parent.mkdir(parents=True, exist_ok=True)
            jupytext.write(notebook, target)
    if (DOCS / "play" / "index.html").exists():
        shutil.copytree(DOCS / "play", out / "play", dirs_exist_ok=True)
    _check_links(out)


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        for name in ("src", "data", "poster") if tag != "a" else ():
            if attributes.get(name) and not attributes[name].startswith("data:"):
                self.loads.append(attributes[name])
        if tag == "link" and attributes.get("rel") not in ("canonical", "search", "author"):
            self.loads.append(attributes["href"])


def _check_links(out):
    """Warns of links that lead nowhere, of outer addresses that the list lacks, and of pages that load outer files."""
    known = [line for line in (DOCS / "external_links.txt").read_text(encoding="utf-8").splitlines()
             if line and not line.startswith("#")]
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in out.rglob("*.html")
             if "play" not in path.relative_to(out).parts}
    for path, page in pages.items():
        where = path.relative_to(out)
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loads:
                    LOG.warning("%s loads %s", where, link)
                elif parts.scheme in ("http", "https") and not any(link.startswith(prefix) for prefix in known):
                    LOG.warning("%s links to %s; add it to docs/external_links.txt", where, link)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                LOG.warning("%s links to %s, which does not exist", where, link)
            elif (parts.fragment and target in pages and "_modules" not in where.parts
                  and unquote(parts.fragment) not in pages[target].ids):
                LOG.warning("%s links to %s, which has no such heading", where, link)
    for path in out.rglob("*.css"):
        if re.search(r"url\(['\"]?https?:|@import ['\"]https?:", path.read_text(encoding="utf-8")):
            LOG.warning("%s loads files of another site", path.relative_to(out))


def setup(app):
    """Connects the functions of this module to Sphinx."""
    if (DOCS / "play" / "index.html").exists():
        app.tags.add("play")
    app.connect("builder-inited", _add_outside_pages)
    app.connect("source-read", _add_download)
    app.connect("build-finished", _write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
