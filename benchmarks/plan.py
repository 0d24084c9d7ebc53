# SPDX-License-Identifier: Apache-2.0
"""What is run: the programs, and the cases each of them is measured on."""

from typing import NamedTuple


class Program(NamedTuple):
    """A program to time: whose environment, which module, which options."""

    environment: str  # "ours", or a name in `environments.PINS`
    module: str
    options: tuple = ()


PROGRAMS = {
    "ours, stored": Program("ours", "benchmarks.ours"),
    "ours, reversible": Program("ours", "benchmarks.ours", ("reversible",)),
    "ours, bfloat16": Program("ours", "benchmarks.ours", ("bfloat16",)),
    "ours, stored, in parts": Program("ours", "benchmarks.ours", ("parts",)),
    "ours, reversible, in parts": Program("ours", "benchmarks.ours", ("reversible", "parts")),
    "ours, bfloat16, in parts": Program("ours", "benchmarks.ours", ("bfloat16", "parts")),
    "normflows": Program("normflows", "benchmarks.peers.normflows_glow"),
    "normflows, channels last": Program("normflows", "benchmarks.peers.normflows_glow", ("channels_last",)),
    "tfb.Glow": Program("tfp", "benchmarks.peers.tfp_glow"),
    "rates": Program("ours", "benchmarks.rates"),
    "gradients": Program("ours", "benchmarks.gradients"),
}
WHOLE = ("ours, stored", "ours, reversible", "ours, bfloat16")
IN_PARTS = tuple(f"{name}, in parts" for name in WHOLE)
OURS = (*WHOLE, *IN_PARTS)
NORMFLOWS = ("normflows", "normflows, channels last")
TFP = "tfb.Glow"
PEERS = (*NORMFLOWS, TFP)
MAIN_DEPTH = 8


class Case(NamedTuple):
    """One process to start: a program on a depth K and a width, for its speed or its peak memory."""

    program: str
    task: str  # "speed" or "memory"
    depth: int
    width: int

    def command(self, batch):
        """The module and its command line."""
        program = PROGRAMS[self.program]
        memory = ["memory"] if self.task == "memory" else []
        return [program.module, str(self.depth), str(self.width), str(batch), *memory, *program.options]


def cases_of_round(number, widths, depths, full):
    """The cases of a round, which alternates between programs, so that a slow minute of the machine is shared out.

    Every round times all programs at the main depth; the first one also the other depths, peak memory and the
    gradients. Without `full`, `tfb.Glow` is left out where it is deeper than the main depth, for its first step, and
    so are, at other depths, the second setting of normflows and ours in parts. With it, every round times the smallest
    width at all depths.
    """
    main = MAIN_DEPTH if MAIN_DEPTH in depths else depths[0]
    cases = []
    for width in widths:
        cases += [Case(name, "speed", main, width) for name in ("rates", *OURS, *PEERS)]
        for depth in depths:
            left_out = () if full or depth == main else (NORMFLOWS[1], *IN_PARTS, *[TFP] * (depth > main))
            names = [name for name in (*OURS, *PEERS) if name not in left_out]
            if depth != main and (number == 0 or full and width == min(widths)):
                cases += [Case(name, "speed", depth, width) for name in names]
            if number == 0:
                cases += [Case(name, "memory", depth, width) for name in names]
    return [*cases, Case("gradients", "speed", max(depths), min(widths))] if number == 0 else cases
