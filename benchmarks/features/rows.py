# SPDX-License-Identifier: Apache-2.0
"""The table's rows and columns, and how a cell is answered. Only the standard library: peers have nothing of ours."""

# A row's key is the name of the functions that check it, one in each column's modules.
ROWS = {
    "act_norm": "actnorm: the first batch comes out with mean 0 and standard deviation 1 in every channel",
    "no_accident": "a sample drawn before there are data leaves that initialisation to the data",
    "invertible_conv": "invertible 1x1 convolution, LU and dense",
    "coupling": "additive and affine coupling, on either half of the channels",
    "checkerboard": "coupling under a checkerboard mask",
    "squeeze": "squeeze: blocks of 2x2 pixels become channels",
    "multiscale": "multi-scale: half of the latents leave at every level",
    "split_prior": "learned prior of the half that leaves, given the other",
    "logit": "logit map of pixels, with its log-det",
    "batch_norm": "batch norm as a bijector: batch statistics in training, running ones after, both with their log-det",
    "context": "coupling conditioned on a context",
    "classes": "class-conditional prior of the latents",
    "vectors": "the same kinds of step over vectors",
    "float64": "float64 throughout: log-det equal to autodiff's to 1e-8",
    "round_trip": "float32: images return from the latents to 1e-5 after initialisation",
    "one_call": "one evaluation of each network for `log_prob`, and for a sample with its density",
    "fresh": "no log-det outlives a change of the weights, while its input lives",
    "any_batch": "one trace or compilation for all batch sizes",
    "trace": "what is traced does not grow with depth",
    "reversible": "what the backward pass keeps does not grow with depth",
    "mixed": "networks in bfloat16, latents and densities in float32",
    "fit": "Keras 3's `fit` trains every variable",
    "replicas": "two data-parallel replicas take the step that one device takes",
    "restore": "a new object that reads a checkpoint gives equal densities, and is not initialised again",
    "export": "export that runs without the library's code",
    "inference": "posterior of variational inference, and transform of Hamiltonian Monte Carlo",
}
COLUMNS = {"ours": "tfp_glow", "tfp": "`tfb.Glow`, `tfb.RealNVP` and other parts of TFP", "normflows": "normflows"}


class NotApplicableError(Exception):
    """Raised by a check whose question has no meaning in its column's framework."""


def answer(check):
    """Runs a check: `(answer, what it saw)`, of which the answer is yes, no or n/a.

    A check returns what it saw if the feature is there. An exception is a no, and is what was seen.
    """
    try:
        return "yes", check()
    except NotApplicableError as reason:
        return "n/a", str(reason)
    except Exception as error:
        text = " ".join(str(error).split())
        return "no", f"{type(error).__name__}: {text[:200]}"


def checks_of(*modules):
    """The checks in some modules, by row, in the table's order; the modules must have one for each row."""
    found = {name: value for module in modules for name, value in vars(module).items() if name in ROWS}
    if set(found) != set(ROWS):
        raise ValueError(f"No check for the rows {sorted(set(ROWS) - set(found))}.")
    return {row: found[row] for row in ROWS}
