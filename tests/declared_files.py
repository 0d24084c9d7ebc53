# SPDX-License-Identifier: Apache-2.0
"""Reads the rules of the BUILD files and finds the files that a target declares. Starlark's syntax is Python's."""

import ast
import functools

from paths import ROOT

RULES = ("py_library", "py_binary", "py_test", "filegroup")


def package_of(directory):
    return "" if directory == ROOT else str(directory.relative_to(ROOT))


def absolute(label, package):
    """Returns a label with its package and name, `//package:name`. The names of files are labels as well."""
    if label.startswith("@"):
        return label
    if label.startswith("//"):
        return label if ":" in label else f"{label}:{label.rpartition('/')[2]}"
    return f"//{package}:{label.removeprefix(':')}"


def globbed(patterns, directory):
    """Returns the names of the files that `glob` finds. It does not enter other packages."""
    found = (path for pattern in patterns for path in directory.glob(f"{pattern}/*" if "**" in pattern else pattern))
    return sorted({str(path.relative_to(directory)) for path in found if path.is_file() and not any(
        (parent / "BUILD").exists() for parent in path.parents if directory in parent.parents)})


def value_of(node, directory):
    """Evaluates an argument of a rule: a constant, a list, a call of `glob`, or a sum of them."""
    if isinstance(node, ast.BinOp):
        return value_of(node.left, directory) + value_of(node.right, directory)
    if isinstance(node, ast.Call):
        assert node.func.id == "glob", ast.unparse(node)
        return globbed(ast.literal_eval(node.args[0]), directory)
    return ast.literal_eval(node)


@functools.cache
def rules():
    """Returns the rules of all BUILD files by label, and the labels of the files that `exports_files` names."""
    found, exported = {}, set()
    files = [ROOT / "BUILD", *(path for tree in ("tfp_glow", "trainers", "benchmarks", "tests")
                               for path in sorted((ROOT / tree).rglob("BUILD")))]
    for file in files:
        package = package_of(file.parent)
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            call = getattr(node, "value", None)
            if not isinstance(call, ast.Call):
                continue
            if call.func.id == "exports_files":
                exported |= {absolute(name, package) for name in ast.literal_eval(call.args[0])}
            if call.func.id not in (*RULES, "alias"):
                continue
            rule = {k.arg: value_of(k.value, file.parent) for k in call.keywords}
            label = absolute(rule["name"], package)
            assert label not in found, f"{file} has two rules named {rule['name']!r}"
            if call.func.id == "alias":
                rule = {"name": rule["name"], "deps": [rule["actual"]]}
            found[label] = {"kind": call.func.id, "package": package, **rule}
    return found, exported


def declared_files(label):
    """Returns the files that a target and its dependencies declare as `srcs` or `data`, as paths from the root.

    Raises:
      AssertionError: if a label is neither a rule nor a file, or is a file that its package does not export.
    """
    targets, exported = rules()
    files, waiting, seen = set(), [("", label)], set()
    while waiting:
        user, label = waiting.pop()
        if label.startswith("@") or label in seen:
            continue
        seen.add(label)
        package, _, name = label.removeprefix("//").partition(":")
        if label in targets:
            rule = targets[label]
            waiting += [(label, absolute(entry, rule["package"])) for attribute in ("srcs", "data", "deps")
                        for entry in rule.get(attribute, [])]
            continue
        path = f"{package}/{name}" if package else name
        assert (ROOT / path).is_file(), f"{user} names {label}, which is neither a rule nor a file"
        own = user.removeprefix("//").partition(":")[0] == package
        assert own or label in exported, f"{user} names {label}, which its package does not export"
        files.add(path)
    return sorted(files)
