# SPDX-License-Identifier: Apache-2.0
"""Writes what pages take from the code: flags, presets, error messages and the start program.

`python docs/make_tables.py`. A test compares the pages with this program, so run it after a change of these.
"""

import ast
import importlib
import inspect
import json
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from benchmarks.report import put_between_markers, table  # noqa: E402
from trainers._command_names import PROGRAMS  # noqa: E402
from trainers.presets import PRESETS, presets_table  # noqa: E402


def commands_page() -> str:
    """Returns the page of the commands: the description of each program, and a table of its flags as in `--help`."""
    parts = [
        "# Commands", "",
        "<!-- This page is made by docs/make_tables.py. -->", "",
        "In a checkout, `python -m trainers.train` starts a program; an installation has `tfp-glow train`. `--help`",
        "prints what this page shows.", ""]
    for program in PROGRAMS:
        module = importlib.import_module(f"trainers.{program}")
        values = module.flag_values()
        rows = []
        for name in sorted(values):
            flag = values[name]
            required = flag.default is None and (name in ("preset", "data", "output_dir", "run_dir", "out"))
            rows.append((f"`--{name}`", "required" if required else _default(flag.default), _cell(flag)))
        parts += [f"## {program}", "", inspect.cleandoc(module.__doc__), "",
                  table(("flag", "default", "meaning"), rows), ""]
    return "\n".join(parts)


def _default(value: object) -> str:
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(flag: object) -> str:
    text = re.sub(r"^<[^>]*>: ", "", " ".join(flag.help.split())).replace("|", r"\|")
    values = getattr(flag.parser, "enum_values", None)
    return f"{text} One of {', '.join(f'`{value}`' for value in values)}." if values else text


def presets_text() -> str:
    """Returns what `--list_presets` prints, as a block."""
    return f"```text\n{presets_table(PRESETS)}\n```"


def models_texts() -> tuple[str, str]:
    """Returns the table of the trained models, and their model cards."""
    rows, cards = [], []
    for directory in sorted((DOCS.parent / "pretrained").iterdir()):
        name, card = directory.name, (directory / "README.md").read_text(encoding="utf-8")
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        bits = re.search(r"bits/dim on all ([\d,]+) test images\*\* \| \*\*([\d.]+)\*\*", card)
        histogram = re.search(r"histogram per pixel[^:]*: ([\d.]+)", card)
        shape = "x".join(map(str, config["flow"]["image_shape"]))
        spec = config["data"].partition(":/")[0]
        data = {"idx": "Fashion-MNIST", "tfds:cifar10": "CIFAR-10"}.get(spec, spec)
        size, numbers = (directory / "model.keras").stat().st_size, re.search(r"([\d,]+) trainable numbers", card)
        rows.append((f"[`{name}`](#{name.replace('_', '-')})", f"`{config['flow']['flow']}`", f"{data}, {shape}",
                     str(config["num_levels"]), bits[2], histogram[1], numbers[1], f"{size / 1e6:.1f} MB"))
        cards += [f"## {name}", card.partition("\n\n")[2].strip().replace("../../docs/", ""),
                  f"![Bits/dim during the training of {name}](../pretrained/{name}/loss_curve.png)"]
    head = ("name", "flow", "data", "levels per channel", "bits/dim on the test images",
            "one histogram per pixel and channel", "parameters", "file")
    return table(head, rows), "\n\n".join(cards)


def start_program() -> str:
    """Returns the program of the start page, as a block."""
    program = (DOCS / "start_program.py").read_text(encoding="utf-8").partition("\n\n")[2]
    return f"<!-- slow -->\n```python\n{program}```"


def messages() -> list[tuple[str, str]]:
    """Returns the error messages of the library, without repetitions, each with the folder or module that raises it.

    Values that a message shows are written as `…`.
    """
    found: dict[str, str] = {}
    library = DOCS.parent / "tfp_glow"
    for path in sorted(library.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = ""
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = _template(node.exc.args[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":  # a check in a graph
                text = _template(node.args[2])
            if text:
                if re.search(r"[a-z]{3}", text.replace("…", "")):
                    found.setdefault(text, path.relative_to(library).parts[0].removesuffix(".py"))
    return [(where, text) for text, where in found.items()]


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_template, node.values))
    if isinstance(node, ast.BinOp):
        return _template(node.left) + _template(node.right)
    return "…"


def cause_of(message: str) -> str | None:
    """Returns the cause of a message: the longest entry of error_causes.json that is part of it, or None."""
    causes = json.loads((DOCS / "error_causes.json").read_text(encoding="utf-8"))
    fitting = [part for part in causes if part in message]
    if fitting:
        return causes[max(fitting, key=len)]
    if re.match(r"(…: )?[Aa]rgument `(\w+|…)` (must |…)", message):
        return "The value of this argument violates the rule that the message states."
    return None


HOMES = {"_checks": "Arguments", "_versions": "Installation", "_compat_tfp": "Installation"}


def messages_text() -> str:
    """Returns a table of messages and causes per folder of the library."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for where, text in messages():
        shown = " ".join(text.split()).replace("|", r"\|").replace("`", "")
        shown = shown if len(shown) < 190 else f"{shown[:180].rpartition(' ')[0]} …"
        sections.setdefault(HOMES.get(where, where.capitalize()), []).append((f"`{shown}`", cause_of(text) or ""))
    return "\n\n".join(f"### {title}\n\n{table(('message', 'cause and remedy'), rows)}"
                       for title, rows in sections.items())

def pages() -> dict[Path, str]:
    """Returns the texts of the pages that this program writes, by their paths."""
    training, start, trouble, models = (DOCS / name for name in (
        "guides/training.md", "start.md", "guides/troubleshooting.md", "models.md"))
    models_table, cards = models_texts()
    return {
        DOCS / "api" / "commands.md": commands_page(),
        models: put_between_markers(put_between_markers(
            models.read_text(encoding="utf-8"), models_table, "models"), cards, "cards"),
        training: put_between_markers(training.read_text(encoding="utf-8"), presets_text(), "presets"),
        start: put_between_markers(start.read_text(encoding="utf-8"), start_program(), "start"),
        trouble: put_between_markers(trouble.read_text(encoding="utf-8"), messages_text(), "messages"),
    }


def main() -> int:
    """Writes the pages. With `--check` it only prints the names of those that differ from the code."""
    differ = {path: text for path, text in pages().items() if path.read_text(encoding="utf-8") != text}
    for path, text in differ.items():
        print(path.relative_to(DOCS))
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    return int(bool(differ) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
