# SPDX-License-Identifier: Apache-2.0
"""`to_latex`: formulas that docstrings write as code, such as `y = x * exp(log_scale) + shift`, in LaTeX."""

import ast
import re

GREEK = {"alpha", "beta", "epsilon", "Phi", "sigma", "mu"}
FUNCTIONS = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh"}
# `**` and spaces around an operator or `=`, or a logarithm without parentheses.
OPERATOR = re.compile(r" [=*/+-] |\blog2? \|?\w|\w\^-1|^-?log\b|^[A-Za-z] [A-Za-z]$")
# Code that looks similar.
CODE = re.compile(r"\"|(?<!\w)'|\bself\b|\.\.\. *\w|,\)|^\[\.\.\.|^\[batch|^\(|[A-Z]\w+\(\.\.\.|\bseed\b|untracked")


def is_formula(text):
    """Returns True if code of a docstring is a formula: it has an operator, and mathematics or single letters."""
    text = text.strip()
    if "\n" in text.strip() or not OPERATOR.search(text) or CODE.search(text) or text.startswith(("[", "(")):
        return False
    names = re.findall(r"[A-Za-z_]\w*", text)
    has_function = re.search(r"\b(log2?|exp|sum|sqrt|tanh|sigmoid|softplus|logit|softmax|floor)\b", text)
    equation = re.search(r"^[A-Za-z_.][\w, ]*(\[.*?\]|\(.*?\))* = ", text)
    short = all(len(name) <= 2 for name in names)
    return bool(short or has_function or equation or re.search(r"\^-1", text))


def to_latex(text):
    """Translates a formula of a docstring into LaTeX. Returns None if it is not one that can be read."""
    text = " ".join(text.split()).rstrip(".,;")
    sides = re.split(r" = (?![^\[(]*[\])])", text)
    try:
        return " = ".join(_side(side) for side in sides)
    except (SyntaxError, ValueError):
        return None


def _side(text):
    text = text.strip()
    listed = _split(text)
    if len(listed) > 1:
        return ", ".join(_side(part) for part in listed)
    if text == "...":
        return r"\ldots"
    text = re.sub(r"\|det (.*?)\|", r"absdet(\1)", text)
    text = re.sub(r"(\w+)'", r"prime_\1", text)
    text = re.sub(r"\bd(\w)/d(\w)\b", r"derivative(\1, \2)", text).replace("; ", ", ")
    text = re.sub(r"\bmean_k (p\(.*?\) / q\(.*?\))", r"mean_over_k(\1)", text)
    text = re.sub(r"\b(p|q|P)\(([^()|]+) \| ([^()|]+)\)", r"\1(given(\2, \3))", text)
    text = re.sub(r"\blog(2)? (-?)([\w.']+(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?(?:\[[^\]]*\])?)",
                  r"log\1(\3)", text)
    text = re.sub(r"(\w+)\^-1", r"inverse_\1", text)
    text = re.sub(r"\b(inverse_[A-Z]|[A-Z]) (?=[A-Zyx(])", r"\1 @ ", text)
    text = re.sub(r"(?<=\w) log(?=\(2\))", " * log", text)
    text = re.sub(r"\bfn\b", "f_n", text)
    return _latex(ast.parse(text, mode="eval").body, 0)


def _split(text):
    """Splits at commas outside of brackets."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _name(name):
    if name.startswith("inverse_"):
        return _name(name[8:]) + "^{-1}"
    if name.startswith("prime_"):
        return _name(name[6:]) + "'"
    if name == "mean_over_k":
        return r"\operatorname{mean}_k"
    if name in GREEK:
        return f"\\{name}"
    if len(name) == 1:
        return name
    if re.fullmatch(r"[a-z]\d|[a-z]_[a-z0-9]", name):
        return f"{name[0]}_{{{name[-1]}}}"
    return rf"\mathrm{{{name}}}".replace("_", r"\_")


def _brackets(inner, left="(", right=")"):
    """Puts brackets around something; they grow only around fractions."""
    return rf"\left{left}{inner}\right{right}" if "frac" in inner else f"{left}{inner}{right}"


def _wrapped(text, inner, outer):
    return _brackets(text) if inner < outer else text


def _latex(node, level):
    """Writes a syntax tree; `level` is how tightly the context binds: 1 sums, 2 products, 3 powers and arguments."""
    match node:
        case ast.Constant(value=v) if v is Ellipsis:
            return r"\ldots"
        case ast.Constant(value=v) if isinstance(v, (int, float)):
            return str(v)
        case ast.Name(id=name):
            return _name(name)
        case ast.Attribute(value=owner, attr=attribute):
            return f"{_latex(owner, 3)}.{_name(attribute)}"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _wrapped("-" + _latex(operand, 2), 2, level)
        case ast.BinOp(left=left, op=op, right=right):
            return _operation(left, op, right, level)
        case ast.Subscript(value=owner, slice=index):
            items = index.elts if isinstance(index, ast.Tuple) else [index]
            return rf"{_latex(owner, 3)}_{{{', '.join(_index(item) for item in items)}}}"
        case ast.Call(func=function, args=arguments, keywords=keywords):
            return _call(function, arguments, keywords)
        case ast.List(elts=items):
            return _brackets(", ".join(_latex(item, 0) for item in items), "[", "]")
        case ast.Tuple(elts=items):
            return _brackets(", ".join(_latex(item, 0) for item in items))
    raise ValueError(ast.dump(node))


def _index(node):
    if isinstance(node, ast.Slice):
        ends = [_latex(end, 0) if end else "" for end in (node.lower, node.upper)]
        return ":".join(ends)
    return _latex(node, 0)


def _operation(left, op, right, level):
    match op:
        case ast.Add():
            return _wrapped(f"{_latex(left, 1)} + {_latex(right, 1)}", 1, level)
        case ast.Sub():
            return _wrapped(f"{_latex(left, 1)} - {_latex(right, 2)}", 1, level)
        case ast.Mult():
            a, b = _latex(left, 2), _latex(right, 2)
            is_short = not re.search(r"\\(mathrm|operatorname|exp|log|left|frac|sum)|\d$", f"{a} {b}")
            dot = r" \, " if is_short else r" \cdot "
            return _wrapped(f"{a}{dot}{b}", 2, level)
        case ast.MatMult():
            return _wrapped(rf"{_latex(left, 2)} \, {_latex(right, 2)}", 2, level)
        case ast.Div() | ast.FloorDiv():
            fraction = rf"\frac{{{_latex(left, 0)}}}{{{_latex(right, 0)}}}"
            return rf"\left\lfloor {fraction} \right\rfloor" if isinstance(op, ast.FloorDiv) else fraction
        case ast.Mod():
            return _wrapped(rf"{_latex(left, 2)} \bmod {_latex(right, 3)}", 2, level)
        case ast.Pow():
            return rf"{_latex(left, 4)}^{{{_latex(right, 0)}}}"
    raise ValueError(ast.dump(op))


def _call(function, arguments, keywords):
    name = function.id if isinstance(function, ast.Name) else ""
    written = [_latex(argument, 0) for argument in arguments]
    written += [rf"\mathrm{{{keyword.arg}}}=".replace("_", r"\_") + _latex(keyword.value, 0) for keyword in keywords]
    inner = ", ".join(written)
    match name:
        case "sqrt":
            return rf"\sqrt{{{inner}}}"
        case "absdet":
            return rf"\left|\det {inner}\right|"
        case "given":
            return rf"{written[0]} \mid {written[1]}"
        case "derivative":
            return rf"\frac{{d{written[0]}}}{{d{written[1]}}}"
        case "log2":
            return r"\log_2" + _brackets(inner)
        case "log" if isinstance(arguments[0], (ast.Name, ast.Call, ast.Subscript, ast.Constant)):
            return rf"\log {inner}"
        case "floor":
            return rf"\left\lfloor {inner} \right\rfloor"
        case "sum":
            return rf"\sum {_latex(arguments[0], 2)}"
        case _ if name in FUNCTIONS:
            return FUNCTIONS[name] + _brackets(inner)
    head = _latex(function, 3)
    head = re.sub(r"^\\mathrm\{([a-z]+)\}$", r"\\operatorname{\1}", head)
    return head + _brackets(inner)
