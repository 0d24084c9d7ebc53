# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, read from the source text: nothing of the project or TensorFlow is imported."""

import ast
import functools
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CODE = ("tfp_glow", "trainers", "benchmarks", "examples")
TREES = (*CODE, "tests")

# From the ground up; a module belongs to the longest prefix that fits and imports from its floor or below.
FLOORS = (
    ("tfp_glow.networks", "tfp_glow.bijectors.masks", "tfp_glow.bijectors.checks"),
    ("tfp_glow.bijectors",),
    ("tfp_glow.flows",),
    ("tfp_glow.adopted", "tfp_glow.classifier", "tfp_glow.conditions", "tfp_glow.dequantization", "tfp_glow.events",
     "tfp_glow.functions", "tfp_glow.queries", "tfp_glow.training"),
    ("tfp_glow.model", "tfp_glow.export", "tfp_glow.serving"),
    ("tfp_glow",),
    ("trainers",),
    ("benchmarks", "examples"),
    ("tests",),
)
# What the order of the floors leaves open: (who, never imports, because).
NEVER = (
    ("tfp_glow.networks", "tensorflow_probability", "networks know nothing of TFP"),
    ("tfp_glow.bijectors", "tfp_glow.networks", "bijectors take networks as arguments"),
    ("tfp_glow", "tf_keras", "the library is Keras 3 only"),
    ("trainers", "tf_keras", "the library is Keras 3 only"),
)
FLAG_HOMES = {f"trainers/{main}.py" for main in (
    "train", "evaluate", "sample", "figure2d", "interpolate", "report", "serving")}
PRIVATE_HOMES = {"tfp_glow/bijectors/pass_cache.py"}
PRIVATE = ("tensorflow_probability.python", "tensorflow.python", "keras.src")
ALIASES = {"tf": "tensorflow", "tfp": "tensorflow_probability"}
MAX_LINES = 250
SPDX = "# SPDX-License-Identifier: Apache-2.0"
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home|Users)/[\w.]|\b[A-Z]:\\\\?Users\b")
UNTRACKED = {"runs", "dist", "build", "__pycache__"}
# Distributions whose module has another name.
MODULES = {"absl-py": "absl", "pillow": "PIL", "scikit-learn": "sklearn",
           "tensorflow-serving-api": "tensorflow_serving"}


def report(rule, offences):
    """Fails with the rule and every offence against it."""
    if offences:
        pytest.fail("\n  ".join([f"{rule}:", *map(str, offences)]), pytrace=False)


@functools.cache
def sources(*trees):
    """The Python files of the trees, as paths from the root."""
    return tuple(str(p.relative_to(ROOT)) for tree in trees for p in sorted((ROOT / tree).rglob("*.py")))


@functools.cache
def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


@functools.cache
def syntax(path):
    return ast.parse(text(path), path)


@functools.cache
def nodes(path):
    return tuple(ast.walk(syntax(path)))


def module_name(path):
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def under(module, prefix):
    return module == prefix or module.startswith(prefix + ".")


@functools.cache
def imports(path):
    """Every module a file imports, also inside functions, as (line, dotted name); relative ones resolved."""
    found = []
    ours = {module_name(p) for p in sources(*TREES)}
    package = module_name(path).split(".")[: None if path.endswith("__init__.py") else -1]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                is_module = name in ours or any(under(name, private) for private in PRIVATE)
                found.append((node.lineno, name if is_module else base))
    return tuple(sorted(set(found)))


def floor(module):
    """The number of the floor a module of ours stands on; None for anyone else's."""
    fits = [(len(p), n) for n, prefixes in enumerate(FLOORS) for p in prefixes if under(module, p)]
    return max(fits)[1] if fits else None


def requirements():
    """The lists of requirements in setup.py, by name: RUNTIME, TRAIN, TEST."""
    lists = {}
    for node in syntax("setup.py").body:
        if isinstance(node, ast.Assign):
            lists[node.targets[0].id] = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
    return lists


def build_targets():
    """The targets of BUILD, by name; Starlark's calls are Python's syntax."""
    targets = {}
    for node in syntax("BUILD").body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and call.func.id.startswith("py_"):
            target = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
            assert target["name"] not in targets, f"BUILD has two targets named {target['name']!r}"
            targets[target["name"]] = target
    return targets


def test_build_names_every_source_once():
    named = Counter(src for target in build_targets().values() for src in target.get("srcs", []))
    present = set(sources(*TREES))
    offences = [f'add "{src}",' for src in sorted(present - set(named))]
    offences += [f'remove "{src}", which does not exist' for src in sorted(set(named) - present)]
    offences += [f'keep one of the {n} "{src}",' for src, n in sorted(named.items()) if n > 1]
    report("BUILD names every source once", offences)


def test_build_deps_cover_the_imports():
    targets = build_targets()
    home = {module_name(src): name for name, target in targets.items() for src in target.get("srcs", [])}

    def closure(name, seen=()):
        assert name not in seen, f"BUILD has a circle of deps: {' -> '.join([*seen, name])}"
        local = [dep.removeprefix(":") for dep in targets[name].get("deps", []) if dep.startswith(":")]
        report(f"BUILD target {name!r} has deps that are no targets", sorted(set(local) - set(targets)))
        return {name}.union(*(closure(dep, (*seen, name)) for dep in local))

    offences = []
    for name, target in targets.items():
        reached = closure(name)
        here = [src for src in target.get("srcs", []) if src in sources(*TREES)]
        needed = {home[m]: src for src in here for _, m in imports(src) if m in home}
        offences += [f'{name} needs ":{dep}", for {needed[dep]}' for dep in sorted(set(needed) - reached)]
    report("BUILD targets lack these deps", offences)


def test_nothing_imports_upwards():
    offences = []
    for path in sources(*TREES):
        here = floor(module_name(path))
        offences += [f"{path}:{line} imports {module}" for line, module in imports(path)
                     if (there := floor(module)) is not None and there > here]
    report("a floor imports only from itself and below (FLOORS in this file)", offences)


@pytest.mark.parametrize(("who", "banned", "reason"), NEVER, ids=[f"{rule[0]}-{rule[1]}" for rule in NEVER])
def test_never_imports(who, banned, reason):
    offences = [f"{path}:{line} imports {module}" for path in sources(*TREES) if under(module_name(path), who)
                for line, module in imports(path) if under(module, banned)]
    report(f"{who} never imports {banned}: {reason}", offences)


@pytest.mark.parametrize(("tree", "extras"), [
    ("tfp_glow", ["RUNTIME", "SERVING"]), ("trainers", ["RUNTIME", "TRAIN"]), ("examples", ["RUNTIME", "TRAIN"])],
    ids=["tfp_glow", "trainers", "examples"])
def test_imports_are_declared(tree, extras):
    """So `pip install .` brings all that `import tfp_glow` needs, and that stays free of absl and TFDS."""
    names = [Requirement(r).name for extra in extras for r in requirements()[extra]]
    known = {MODULES.get(name, name.replace("-", "_")) for name in names} | {*TREES, *sys.stdlib_module_names}
    offences = [f"{path}:{line} imports {module}" for path in sources(tree) for line, module in imports(path)
                if module.split(".")[0] not in known]
    report(f"{tree} imports only what setup.py's {' and '.join(extras)} name", offences)


def test_absl_only_in_the_mains():
    offences = [f"{path}:{line} imports {module}" for path in sources(*CODE) if path not in FLAG_HOMES
                for line, module in imports(path) if under(module, "absl")]
    report(f"absl only in {', '.join(sorted(FLAG_HOMES))}", offences)


def test_private_apis_have_one_home():
    offences = []
    for path in sources(*CODE):
        used = [(line, module) for line, module in imports(path) if any(under(module, p) for p in PRIVATE)]
        for node in nodes(path):  # `tfp.python...` needs no import of its own
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{ALIASES.get(node.value.id, node.value.id)}.{node.attr}"
                used += [(node.lineno, name)] if name in PRIVATE else []
        offences += [f"{path}:{line} uses {name}" for line, name in used if path not in PRIVATE_HOMES]
    report(f"private APIs only in {', '.join(sorted(PRIVATE_HOMES))}", offences)


def test_first_line_is_the_licence():
    report(f"the first line is {SPDX!r}",
           [path for path in (*sources(*TREES), "setup.py") if text(path).split("\n", 1)[0] != SPDX])


def test_files_are_short():
    report(f"a file has at most {MAX_LINES} lines", [
        f"{path}: {lines} lines" for path in sources("tfp_glow", "trainers")
        if (lines := len(text(path).splitlines())) > MAX_LINES])


def test_bad_input_is_no_assert():
    report("raise ValueError instead of assert", [
        f"{path}:{node.lineno}" for path in sources("tfp_glow", "trainers") for node in nodes(path)
        if isinstance(node, ast.Assert)])


def test_no_paths_of_one_machine():
    offences = []
    for path in project_files(ROOT):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # a picture
            continue
        offences += [f"{path.relative_to(ROOT)}:{n}: {line.strip()[:100]}" for n, line in enumerate(lines, 1)
                     if MACHINE_PATH.search(line)]
    report("paths of one machine", offences)


def project_files(directory):
    """The files git would track, without asking git: no hidden, built or written ones, no environments."""
    for path in sorted(directory.iterdir()):
        hidden = path.name.startswith(".") and path.name not in (".ci", ".github", ".gitignore")
        made = path.name in UNTRACKED or path.suffix == ".egg-info" or (path / "pyvenv.cfg").exists()
        if not hidden and not made:
            yield from project_files(path) if path.is_dir() else [path]


def test_constraints_satisfy_setup():
    pins = dict(line.split("==") for line in text("constraints.txt").splitlines() if not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    offences = []
    for requirement in map(Requirement, dict.fromkeys(sum(requirements().values(), []))):
        pin = pins.get(requirement.name.lower().replace("_", "-"))
        if pin is None or pin not in requirement.specifier:
            offences.append(f"{requirement}: pinned {pin}")
    report("constraints.txt pins every requirement of setup.py within its range", offences)
