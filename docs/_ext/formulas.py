# SPDX-License-Identifier: Apache-2.0
"""Formulas of docstrings as mathematics, and mathematics as MathML, which browsers draw without a script.

Docstrings write formulas as code, such as `y = x * exp(log_scale) + shift`, because users read them in terminals. In
the site, code that is a formula becomes mathematics.
"""

import re

import latex2mathml.converter
from docutils import nodes
from latex import to_latex

COLON = "\x01"  # stands for a colon until napoleon has read a docstring


def _before_napoleon(app, what, name, obj, options, lines):
    """Turns indented lines that are one formula into a block, and Markdown tables into tables."""
    text, out = list(lines), []
    for index, line in enumerate(text):
        before = text[index - 1] if index else ""
        after = text[index + 1] if index + 1 < len(text) else ""
        if line.startswith("    ") and not before.strip() and not after.strip() and " = " in line:
            latex = to_latex(line.strip())
            if latex:
                out += [".. math::", "", f"    {latex}"]
                continue
        if line.lstrip().startswith("|"):
            indent = line[:len(line) - len(line.lstrip())]
            if not before.lstrip().startswith("|"):
                out += [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
            if not re.fullmatch(r"[|\s:-]+", line):
                cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
                out += [f"{indent}   {'*' if not i else ' '} - {cell}" for i, cell in enumerate(cells)]
            if not after.lstrip().startswith("|"):
                out.append("")
            continue
        out.append(line)
    # A letter that follows a backtick, such as in `tf.Variable`s, must be separated.
    joined = re.sub(r"(`[^`]+`)(\w?)", lambda m: rf"{m[1]}\ {m[2]}" if m[2] else m[1], "\n".join(out))
    if what in ("property", "attribute"):  # napoleon would read the words before the first colon as a type.
        joined = joined.replace(":", COLON)
    lines[:] = joined.split("\n")


def _after_napoleon(app, what, name, obj, options, lines):
    lines[:] = [line.replace(COLON, ":") for line in lines]


def _mathml(latex, display="inline"):
    """Translates LaTeX, with a thin space after functions that have no parentheses."""
    spaced = re.sub(r"\\(log|exp|det) (?=[A-Za-z\\])", r"\\\1\\, ", latex)
    return latex2mathml.converter.convert(spaced, display=display)


def _inline(self, node):
    self.body.append(_mathml(node.astext()))
    raise nodes.SkipNode


def _display(self, node):
    self.body.append(f'<div class="math">{_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app):
    """Connects the functions of this module to Sphinx."""
    app.connect("autodoc-process-docstring", _before_napoleon, priority=100)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=900)
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
