# SPDX-License-Identifier: Apache-2.0
"""The code of the tutorials in docs/tutorials, which are notebooks in Markdown."""

import ast
import linecache
import re

from paths import ROOT

FOLDER = ROOT / "docs" / "tutorials"
NAMES = [path.stem for path in sorted(FOLDER.glob("*.md")) if "\nkernelspec:" in path.read_text(encoding="utf-8")]
_SIMPLE = (ast.Attribute, ast.Constant, ast.Load, ast.Name, ast.Tuple)
_CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(name):
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def cells(name):
    """Returns the code cells of a tutorial as Python. A cell `%%writefile FILE` becomes a call that writes the file."""
    sources = [re.sub(r"\A(:\w+:.*\n)+\n?", "", cell) for cell in _CELL.findall(text(name))]
    return [re.sub(r"\A%%writefile (\S+)\n(.*)\Z", _writing, source, flags=re.DOTALL) for source in sources]


def _writing(cell):
    return f"__import__('pathlib').Path({cell[1]!r}).write_text({cell[2]!r})\n"


def program(name, **values):
    """Returns the cells of a tutorial as one program, with other values of its constants, such as `EPOCHS=1`."""
    code = "\n".join(cells(name))
    for constant, value in values.items():
        code, number = re.subn(rf"^{constant} = .*$", f"{constant} = {value!r}", code, flags=re.MULTILINE)
        assert number == 1, f"{name} must assign {constant} once; it does so {number} times"
    return code


def definitions(name):
    """Runs the imports, functions, classes and simple constants of a tutorial. Returns their names."""
    kept = []
    for node in ast.parse(program(name)).body:
        simple = isinstance(node, ast.Assign) and all(isinstance(part, _SIMPLE) for part in ast.walk(node.value))
        if simple or isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
            kept.append(node)
    code = ast.unparse(ast.Module(kept, []))
    file = f"<tutorial {name}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    names = {"__name__": f"tutorial_{name}"}
    exec(compile(code, file, "exec"), names)
    return names
