# SPDX-License-Identifier: Apache-2.0
"""Links from code to its reference: public names of this package, and names of TensorFlow, TFP and Keras."""

import ast
import functools
import importlib
import inspect
import re

from docutils import nodes
from latex import is_formula, to_latex
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

MODULES = ("tfp_glow", "tfp_glow.flows", "tfp_glow.models", "tfp_glow.bijectors", "tfp_glow.transforms",
           "tfp_glow.networks", "tfp_glow.export")
# Where the reference documents a name that several modules export.
HOMES = ("tfp_glow.transforms", "tfp_glow.networks", "tfp_glow", "tfp_glow.bijectors", "tfp_glow.flows",
         "tfp_glow.export", "tfp_glow.models")
ALIASES = {"tfgb.": "tfp_glow.bijectors.", "tfd.": "tfp.distributions.", "tfb.": "tfp.bijectors.",
           "layers.": "keras.layers.", "optimizers.": "keras.optimizers."}
SITES = {"tf": "https://www.tensorflow.org/api_docs/python/tf/",
         "tfp": "https://www.tensorflow.org/probability/api_docs/python/tfp/",
         "keras": "https://www.tensorflow.org/api_docs/python/tf/keras/"}
PACKAGES = {"tf": "tensorflow", "tfp": "tensorflow_probability", "keras": "keras"}


@functools.cache
def public_names():
    """Returns the full name in the reference of each public name, by all names that users may write."""
    found = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value) or name == "__version__":
                continue
            home = next(h for h in HOMES if getattr(importlib.import_module(h), name, None) is value
                        and name in importlib.import_module(h).__all__)
            full = f"{home}.{name}"
            found[f"{module_name}.{name}"] = full
            if inspect.isclass(value) or name not in ("initialize", "pretrained"):
                found.setdefault(name, full)
            if inspect.isclass(value):
                for member in vars(value):
                    if not member.startswith("_"):
                        found[f"{name}.{member}"] = found[f"{module_name}.{name}.{member}"] = f"{full}.{member}"
    found["tfp_glow.pretrained.directory"] = "tfp_glow.models.pretrained.directory"
    return found


@functools.cache
def target(code):
    """Returns the full name or the URL that code refers to, or None."""
    name = code.strip().split("(")[0].rstrip(".")
    if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
        return None
    for short, long in ALIASES.items():
        if name.startswith(short):
            name = long + name.removeprefix(short)
    if name in public_names() and ("." in name or name[0].isupper() or "(" in code or code in FLOWS):
        return public_names()[name]
    package, _, rest = name.partition(".")
    if package in SITES and rest and not rest.startswith("keras.src"):
        return _url(package, rest)
    return None


FLOWS = {"glow", "realnvp", "realnvp_vector", "nice", "maf", "iaf", "nsf", "jet", "pyramid", "pixelcnn",
         "dequantizer"}


def _url(package, rest):
    """Returns the address of a name's page, or None if there is no such public name."""
    value, parts = importlib.import_module(PACKAGES[package]), rest.split(".")
    for index, part in enumerate(parts):
        if part.startswith("_") or not hasattr(value, part):
            return None
        if inspect.isclass(value):  # A method has a heading on the page of its class.
            return f"{SITES[package]}{'/'.join(parts[:index])}#{part}"
        value = getattr(value, part)
    if inspect.ismodule(value) or inspect.isclass(value) or callable(value):
        return SITES[package] + "/".join(parts)
    return None


class LinkCode(SphinxTransform):
    """Makes links of code that names something public."""

    default_priority = 400

    def apply(self):
        for text in list(self.document.findall(nodes.Text)):
            if text.astext() == " -- ":  # between a parameter and its meaning
                text.parent.replace(text, nodes.Text(" \u2013 "))
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, (nodes.reference, addnodes.pending_xref, nodes.title)):
                continue
            where = target(literal.astext())
            if where is None:
                continue
            if where.startswith("https:"):
                link = nodes.reference("", "", refuri=where, internal=False, classes=["api"])
            else:
                link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=where, refexplicit=True,
                                             refwarn=True, refdoc=self.env.docname, classes=["api"])
            literal.replace_self(link)
            link += literal


def role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """Code in docstrings: mathematics if it is a formula."""
    text = text.replace("\x00", "")
    latex = to_latex(text) if is_formula(text) else None
    if latex:
        return [nodes.math(rawtext, latex)], []
    if "\n" in text and "=" in text:
        return [nodes.literal_block(text, text.strip("\n"), language="text")], []
    return [nodes.literal(rawtext, text)], []


def _bases(app, name, obj, options, bases):
    """Names the nearest public base class, by the name that users write."""
    foreign = {"Bijector": "tfp.bijectors.Bijector", "Model": "keras.Model", "Layer": "keras.Layer",
               "Distribution": "tfp.distributions.Distribution"}
    for base in obj.__mro__[1:]:
        full = public_names().get(base.__name__)
        if full and not base.__name__.startswith("_"):
            bases[:] = [f":py:class:`~{full}`"]
            return
        if base.__name__ in foreign and not base.__module__.startswith("tfp_glow"):
            bases[:] = [f":api:`{foreign[base.__name__]}`"]
            return
    bases[:] = [":api:`object`"]


def _signature(app, what, name, obj, options, signature, returns):
    """Shows the arguments of the constructor: Keras replaces the signatures of its classes."""
    if what == "class" and "__init__" in vars(obj):
        parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
        parameters = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
        return str(inspect.Signature(parameters)), returns
    return None


def _source(app, module_name):
    """Finds definitions in a module for the pages of sources. Sphinx itself cannot parse `{**others}` in decorators."""
    if module_name.split(".")[0] != "tfp_glow":
        return None
    code, tags = inspect.getsource(importlib.import_module(module_name)), {}

    def visit(nodes_, prefix):
        for node in nodes_:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                kind = "class" if isinstance(node, ast.ClassDef) else "def"
                tags[f"{prefix}{node.name}"] = (kind, start, node.end_lineno)
                visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse(code).body, "")
    return code, tags


def setup(app):
    """Connects the functions of this module to Sphinx."""
    app.connect("autodoc-process-bases", _bases)
    app.connect("viewcode-find-source", _source)
    app.connect("autodoc-process-signature", _signature)
    app.add_role("api", role)
    app.add_transform(LinkCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
