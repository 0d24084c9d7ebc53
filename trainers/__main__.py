# SPDX-License-Identifier: Apache-2.0
"""The command `tfp-glow`, which runs one of the programs of this package.

    tfp-glow train --preset=digits_glow --data=digits --output_dir=runs/digits

In a checkout without an installation, `python -m trainers train` is the same command.
"""

import ast
import difflib
import importlib
import pathlib
import sys
from collections.abc import Sequence

from ._command_names import PROGRAMS, command_name

_HELP_FLAGS = ("--help", "-help", "-h", "--helpshort", "--helpfull", "help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one of the programs, or prints the list of them.

    Args:
      argv: list of str: the name of the command, the name of the program and its arguments. Default None: `sys.argv`.

    Returns:
      The exit code, an int: 0 after success, 1 after an error, 130 after an interrupt from the keyboard.
    """
    arguments = list(sys.argv if argv is None else argv)[1:]
    if not arguments or arguments[0] in _HELP_FLAGS:
        print(_help())
        return 0 if arguments else 1
    program = arguments[0]
    if program == "--version":
        import tfp_glow

        print(f"tfp-glow {tfp_glow.__version__}")
        return 0
    if program not in PROGRAMS:
        close = difflib.get_close_matches(program, PROGRAMS, 1)
        advice = f"did you mean {close[0]}?" if close else f"the programs are {', '.join(PROGRAMS)}"
        print(f"error: {command_name()}: there is no program {program!r}; {advice}", file=sys.stderr)
        return 1
    return importlib.import_module(f".{program}", __package__).main([command_name(program), *arguments[1:]])


def _help() -> str:
    """Returns the list of the programs, each with the first line of the docstring of its module."""
    lines = [f"usage: {command_name()} PROGRAM [--flag=value ...]", "", "programs:"]
    for program in PROGRAMS:
        text = pathlib.Path(__file__).with_name(f"{program}.py").read_text(encoding="utf-8")
        summary = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        lines.append(f"  {program:12} {summary}")
    return "\n".join([*lines, "", f"{command_name()} PROGRAM --help prints the flags of a program."])


if __name__ == "__main__":
    sys.exit(main())
