# SPDX-License-Identifier: Apache-2.0
"""Names of the command-line programs, as a user of this installation types them.

An installed package has the command `tfp-glow train`. In a checkout, the programs run as `python -m trainers.train`.
"""

import re

PROGRAMS = ("train", "evaluate", "sample", "interpolate", "report", "figure2d", "page", "serving", "export")
_INSTALLED = __package__ != "trainers"
_IN_TEXT = re.compile(rf"(?:python -m )?\btrainers\.({'|'.join(PROGRAMS)})(?!\.?\w)")


def command_name(program: str = "") -> str:
    """Returns the words with which a user starts a program.

    Args:
      program: name of the program, one of `PROGRAMS`. Default: the command without a program.

    Returns:
      A string: `"tfp-glow train"` in an installed package, `"python -m trainers.train"` in a checkout.
    """
    if _INSTALLED:
        return f"tfp-glow {program}".strip()
    return f"python -m trainers.{program}" if program else "python -m trainers"


def with_command_names(text: str) -> str:
    """Replaces the names of programs in a text, such as `trainers.train`, by the words with which a user starts them.

    Args:
      text: a help text or an error message.

    Returns:
      The text of an installed package. In a checkout, the text stays as it is.
    """
    return _IN_TEXT.sub(lambda match: command_name(match.group(1)), text) if _INSTALLED else text
