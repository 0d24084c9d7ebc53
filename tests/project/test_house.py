# SPDX-License-Identifier: Apache-2.0
"""The rules of the house. All but one read the source text, without importing the project or TensorFlow."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections import Counter

import pytest
from declared_files import absolute, rules
from packaging.requirements import Requirement
from paths import ROOT

CODE = ("tfp_glow", "trainers", "benchmarks")
TREES = (*CODE, "tests")

# From the ground up. A module belongs to the longest prefix that fits, and imports from its floor or below.
FLOORS = (
    ("tfp_glow._log_level", "tfp_glow._types", "tfp_glow._compat_tensorflow", "tfp_glow._compat_tfp",
     "tfp_glow._compat_keras"),
    ("tfp_glow._checks", "tfp_glow._tracking", "tfp_glow._versions"),
    ("tfp_glow.networks", "tfp_glow.transforms"),
    ("tfp_glow.bijectors",),
    ("tfp_glow.flows",),
    ("tfp_glow.models",),
    ("tfp_glow.export",),
    ("tfp_glow",),
    ("trainers.data", "trainers.presets", "trainers.optimization"),
    ("trainers.runs",),
    ("trainers.distribute", "trainers.evaluation"),
    ("trainers.reporting",),
    ("trainers.callbacks",),
    ("trainers.training",),
    ("trainers",),
    ("benchmarks",),
    ("tests",),
)
# What the order of the floors does not express: (who, must not import, reason).
NEVER = (
    ("tfp_glow.networks", "tensorflow_probability", "networks do not depend on TFP"),
    ("tfp_glow.networks", "tfp_glow.transforms", "networks and transforms are independent"),
    ("tfp_glow.bijectors", "tfp_glow.networks", "bijectors take networks as arguments"),
    ("tfp_glow", "tf_keras", "the library is Keras 3 only"),
    ("trainers", "tf_keras", "the library is Keras 3 only"),
)
FLAG_HOMES = {"trainers/_command_line.py", *(f"trainers/{main}.py" for main in (
    "train", "evaluate", "sample", "figure2d", "interpolate", "page", "report", "serving", "export"))}
# One compatibility module per library.
COMPAT = {"tensorflow": "tfp_glow/_compat_tensorflow.py", "tensorflow_probability": "tfp_glow/_compat_tfp.py",
          "keras": "tfp_glow/_compat_keras.py"}
PRIVATE = ("tensorflow_probability.python", "tensorflow.python", "keras.src")
ALIASES = {"tf": "tensorflow", "tfp": "tensorflow_probability"}
# Methods that the documentation of the base classes tells subclasses to override, in spite of the underscore.
DOCUMENTED_HOOKS = {
    "_forward", "_inverse", "_forward_log_det_jacobian", "_inverse_log_det_jacobian", "_forward_event_shape",
    "_inverse_event_shape", "_forward_event_shape_tensor", "_inverse_event_shape_tensor", "_parameter_properties"}
# Set on bijector classes by decorators of the compatibility module, or by Python itself.
SET_BY_DECORATORS = {"_cache", "_get_parameterization", "_is_permutation", "_abc_impl"}
NAMED_TUPLE = {"_asdict", "_replace"}  # public in spite of the underscore
SPDX = "# SPDX-License-Identifier: Apache-2.0"
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home|Users)/[\w.]|\b[A-Z]:\\\\?Users\b")
UNTRACKED = {ROOT / name for name in ("runs", "dist", "build", "docs/_build", "docs/api/generated")}
# Distributions whose module has another name.
MODULES = {"absl-py": "absl", "pillow": "PIL", "protobuf": "google", "scikit-learn": "sklearn",
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
    """The lists of requirements in setup.py, by name: RUNTIME, TF, TRAIN, TEST."""
    lists = {}
    for node in syntax("setup.py").body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.BinOp)):
            lists[node.targets[0].id] = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
    return lists


@functools.cache
def build_targets():
    """The Python rules of all BUILD files by label, with the paths of their sources and the labels of their deps."""
    targets = {}
    for label, rule in rules()[0].items():
        if rule["kind"].startswith("py_"):
            package = rule["package"]
            prefix = f"{package}/" if package else ""
            targets[label] = {"srcs": [prefix + source for source in rule.get("srcs", [])],
                              "deps": [absolute(dep, package) for dep in rule.get("deps", [])]}
    return targets


def test_build_files_name_every_source_once():
    named = Counter(source for target in build_targets().values() for source in target["srcs"])
    present = set(sources(*TREES))
    offences = [f'add "{source}"' for source in sorted(present - set(named))]
    offences += [f'remove "{source}", which does not exist' for source in sorted(set(named) - present)]
    offences += [f'keep one of the {n} "{source}"' for source, n in sorted(named.items()) if n > 1]
    report("the BUILD file of each package names its sources once", offences)


def test_build_deps_cover_the_imports():
    targets = build_targets()
    home = {module_name(source): label for label, target in targets.items() for source in target["srcs"]}
    pip = {name.lower().replace("-", "_") for name in pins()}
    hub = {MODULES.get(name.replace("_", "-"), name): f"@pip//{name}" for name in pip}

    def closure(label, seen=()):
        assert label not in seen, f"the BUILD files have a circle of deps: {' -> '.join([*seen, label])}"
        local = [dep for dep in targets[label]["deps"] if dep.startswith("//")]
        report(f"{label} has deps that are no targets", sorted(set(local) - set(targets)))
        return {label, *targets[label]["deps"]}.union(*(closure(dep, (*seen, label)) for dep in local))

    offences = []
    for label, target in targets.items():
        reached = closure(label)
        for source in target["srcs"]:
            for _, module in imports(source):
                needed = home.get(module) or hub.get(module.split(".")[0])
                if needed and needed not in reached:
                    offences.append(f'{label} needs "{needed}", for {source}')
    report("BUILD targets lack these deps", sorted(set(offences)))


def test_external_deps_are_pinned():
    pip = {name.lower().replace("-", "_") for name in pins()}
    offences = [f"{label} needs {dep}" for label, target in build_targets().items() for dep in target["deps"]
                if dep.startswith("@pip//") and dep.removeprefix("@pip//") not in pip]
    report("constraints.txt, which MODULE.bazel makes the hub from, pins every @pip dep", offences)


def test_nothing_imports_upwards():
    offences = []
    for path in sources(*TREES):
        here = floor(module_name(path))
        offences += [f"{path}:{line} imports {module}" for line, module in imports(path)
                     if (there := floor(module)) is not None and there > here]
    report("a floor imports only from itself and below (FLOORS in this file)", offences)


def test_trainers_import_each_other_relatively():
    """The wheel has `trainers` as `tfp_glow.trainers`. There, a relative import above it would reach `tfp_glow`."""
    offences = []
    for path in sources("trainers"):
        depth = path.count("/")
        for node in nodes(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                [node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
            above = isinstance(node, ast.ImportFrom) and node.level > depth
            if above or any(under(name, "trainers") for name in names):
                offences.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    report("trainers import each other with relative imports that stay in trainers", offences)


@pytest.mark.parametrize(("who", "banned", "reason"), NEVER, ids=[f"{rule[0]}-{rule[1]}" for rule in NEVER])
def test_never_imports(who, banned, reason):
    offences = [f"{path}:{line} imports {module}" for path in sources(*TREES) if under(module_name(path), who)
                for line, module in imports(path) if under(module, banned)]
    report(f"{who} never imports {banned}: {reason}", offences)


@pytest.mark.parametrize(("tree", "extras"), [
    ("tfp_glow", ["RUNTIME"]), ("trainers", ["RUNTIME", "TRAIN"])], ids=["tfp_glow", "trainers"])
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


def test_private_modules_are_imported_in_compatibility_modules_only():
    offences = []
    for path in sources(*CODE):
        used = [(line, module) for line, module in imports(path) if any(under(module, p) for p in PRIVATE)]
        for node in nodes(path):  # `tfp.python...` needs no import of its own
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{ALIASES.get(node.value.id, node.value.id)}.{node.attr}"
                used += [(node.lineno, name)] if name in PRIVATE else []
        offences += [f"{path}:{line} uses {name}" for line, name in used
                     if path != COMPAT.get(name.split(".")[0])]
    report(f"private modules only in {', '.join(COMPAT.values())}", offences)


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name != "_"


@functools.cache
def own_private_names():
    """The private names that the code of the project defines: functions, classes, assignments, arguments."""
    names = set()
    for path in sources(*CODE):
        if path in COMPAT.values():
            continue
        for node in nodes(path):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return {name for name in names if is_private(name)}


def test_private_attributes_are_used_in_compatibility_modules_only():
    """An attribute with an underscore that no code here defines belongs to a library, and so do `__bases__`."""
    offences = []
    for path in sources("tfp_glow", "trainers"):
        for node in nodes(path):
            if isinstance(node, ast.Attribute) and path not in COMPAT.values():
                foreign = is_private(node.attr) and node.attr not in {*own_private_names(), *NAMED_TUPLE}
                if foreign or node.attr in ("__bases__", "__internal__"):
                    offences.append(f"{path}:{node.lineno} uses {ast.unparse(node)}")
    report(f"private attributes only in {', '.join(COMPAT.values())}", offences)


def test_private_methods_of_libraries_are_overridden_in_compatibility_modules_only():
    """Imports the library: only the classes themselves show which names their foreign bases define."""
    import tfp_glow
    import trainers

    offences = []
    for package in (tfp_glow, trainers):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for name, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if kind.__module__ != info.name or info.name.replace(".", "/") + ".py" in COMPAT.values():
                    continue
                foreign = [base for base in kind.__mro__ if base.__module__.split(".")[0] in COMPAT]
                foreign_names = {attribute for base in foreign for attribute in vars(base)}
                offences += [f"{info.name}.{name} overrides {attribute}" for attribute in vars(kind)
                             if is_private(attribute) and attribute in foreign_names
                             and attribute not in {*DOCUMENTED_HOOKS, *SET_BY_DECORATORS}]
    report(f"private methods overridden only in {', '.join(COMPAT.values())}", sorted(set(offences)))


def test_every_private_api_is_listed_with_its_reason():
    listed = re.findall(r"^\| `([^`]+)` \|", text("docs/internals.md").partition("## Private APIs")[2], re.MULTILINE)
    stated = []
    for path in COMPAT.values():
        table = next(node.value for node in syntax(path).body
                     if isinstance(node, ast.Assign) and node.targets[0].id == "PRIVATE_APIS")
        stated += ast.literal_eval(table)
    assert sorted(listed) == sorted(stated)


def test_public_functions_are_annotated():
    offences = []
    for path in sources("tfp_glow", "trainers"):
        for owner in [syntax(path), *(node for node in syntax(path).body if isinstance(node, ast.ClassDef))]:
            for node in owner.body:
                if not isinstance(node, ast.FunctionDef) or (is_private(node.name) and node.name != "__init__"):
                    continue
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg,
                             node.args.kwarg]
                bare = [a.arg for a in arguments if a and a.annotation is None and a.arg not in ("self", "cls")]
                if node.returns is None and node.name != "__init__":
                    bare.append("return")
                offences += [f"{path}:{node.lineno} {node.name}: {', '.join(bare)}"] if bare else []
    report("public functions, methods and constructors are annotated", offences)


def test_first_line_is_the_licence():
    report(f"the first line is {SPDX!r}",
           [path for path in (*sources(*TREES), "setup.py") if text(path).split("\n", 1)[0] != SPDX])


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
        made = path in UNTRACKED or path.name == "__pycache__" or path.suffix == ".egg-info" or (
            path / "pyvenv.cfg").exists()
        if not hidden and not made:
            yield from project_files(path) if path.is_dir() else [path]


def pins():
    """The versions in constraints.txt, by the names of the distributions."""
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


def test_constraints_satisfy_setup():
    offences = []
    for requirement in map(Requirement, dict.fromkeys(sum(requirements().values(), []))):
        if requirement.marker and not requirement.marker.evaluate({"python_version": "3.11"}):
            continue  # The pins are for Python 3.11.
        pin = pins().get(requirement.name.lower().replace("_", "-"))
        if pin is None or pin not in requirement.specifier:
            offences.append(f"{requirement}: pinned {pin}")
    report("constraints.txt pins every requirement of setup.py within its range", offences)
