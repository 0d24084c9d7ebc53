# SPDX-License-Identifier: Apache-2.0
"""Rows of the feature table: `ROWS` has the check of each row by its name. The docstring of a check is the row's title.

A check receives a column: the module of one library, with a function for each part that the check names, such as
`column.squeeze()`. The functions return flows as `probes` describes them. An exception is a no.
"""

import subprocess
import sys
import tempfile
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.features.probes import IMAGE, SMALL, close, images, is_flow, is_normalized, move, moved_latents, uniform

BATCH = 3.0 + 2.0 * uniform(16, *IMAGE)


def act_norm(column: Any, sample_first: bool = False) -> None:
    """actnorm: the latents of the first batch have mean 0 and standard deviation 1 in each channel"""
    norm = column.act_norm()
    if sample_first:
        norm.forward(np.random.RandomState(0).standard_normal((8, *IMAGE)).astype("float32"))
    norm.initialize(BATCH)
    is_normalized(norm.inverse(BATCH)[0])


def no_accident(column: Any) -> None:
    """a sample drawn before the first batch does not initialize actnorm"""
    act_norm(column, sample_first=True)


def invertible_conv(column: Any) -> None:
    """invertible 1x1 convolution, LU and dense"""
    for convolution in column.invertible_conv():
        is_flow(convolution, BATCH[:2])


def coupling(column: Any) -> None:
    """additive and affine coupling, on either half of the channels"""
    for kept, flow in column.coupling():  # `kept` is the channel that does not change.
        is_flow(flow, BATCH[:2])
        close(flow.inverse(BATCH)[0][..., kept], BATCH[..., kept], 0.0, "the half that is kept")


def checkerboard(column: Any) -> None:
    """coupling under a checkerboard mask"""
    flow = column.checkerboard()
    is_flow(flow, BATCH[:2])
    changed = np.any(np.asarray(flow.inverse(BATCH)[0]) != BATCH, axis=0)
    board = np.indices((4, 4)).sum(axis=0) % 2 == 1
    assert all(np.array_equal(changed[..., k], board) or np.array_equal(changed[..., k], ~board) for k in range(2))


def squeeze(column: Any) -> None:
    """squeeze: blocks of 2x2 pixels become channels"""
    blocks = np.asarray(column.squeeze().inverse(np.arange(16.0, dtype="float32").reshape(1, 4, 4, 1))[0])
    close(np.sort(blocks[0, 0, 1]), [2.0, 3.0, 6.0, 7.0], 0.0, "a block")


def multiscale(column: Any) -> None:
    """multi-scale: half of the latents leave the flow at each level"""
    flow = column.glow(shape=SMALL)
    counts = moved_latents(flow.variables, flow)
    assert max(counts) == 16 and 8 in counts, f"latents that depend on one variable: {sorted(set(counts))}"


def split_prior(column: Any) -> None:
    """learned prior of the half that leaves, given the other half"""
    flow, variables = column.split_prior()
    counts = moved_latents(variables, flow)
    assert 0 < max(counts) <= 8, f"latents that depend on the variables of the prior: {counts}"


def logit(column: Any) -> None:
    """logit map of pixels, with its log-det"""
    flow = column.logit()
    is_flow(flow, images(flow, 3, (2, 2, 1)))


def batch_norm(column: Any) -> None:
    """batch norm as a bijector: batch statistics in training, running statistics afterwards, both with their log-det"""
    for shape, training, trained in column.batch_norm():
        y = 2.0 + 3.0 * uniform(2000, *shape)
        latents, log_det = training.inverse(y)
        is_normalized(latents)
        expected = -0.5 * np.prod(shape[:-1]) * np.log(y.reshape(-1, shape[-1]).var(axis=0)).sum()
        close(log_det, np.full(2000, expected), 2e-3, f"log-det in training, events {shape}")
        is_flow(trained, y[:2])


def context(column: Any) -> None:
    """coupling conditioned on a context"""
    given, y, values = column.context(), uniform(2, 4), uniform(2, 3)
    is_flow(given(values), y)
    one, other = (np.asarray(given(numbers).inverse(y)[0]) for numbers in (values, values + np.float32(1.0)))
    assert np.all(np.any(one != other, axis=1)), "the latents do not depend on the context"


def classes(column: Any) -> None:
    """class-conditional prior of the latents"""
    log_prob = column.classes()
    assert np.all(np.asarray(log_prob([0, 0])) != np.asarray(log_prob([1, 1]))), "densities do not depend on the class"


def vectors(column: Any) -> None:
    """the same kinds of steps over vectors"""
    flow = column.vectors()
    flow.initialize(uniform(16, 6))
    is_flow(flow, uniform(3, 6))


def float64(column: Any) -> None:
    """float64 throughout: the log-det equals that of automatic differentiation to 1e-8"""
    flow = column.float64()
    y = images(flow, 2, SMALL).astype("float64")
    is_flow(flow, y, tolerance=1e-8)
    assert np.asarray(flow.log_prob(y)).dtype == np.float64, "log_prob is not float64"


def round_trip(column: Any) -> None:
    """float32: images return from their latents to 1e-5 after initialization"""
    flow = column.glow(num_steps=4)
    y = images(flow, 16)
    flow.initialize(y)
    close(np.asarray(flow.forward(np.asarray(flow.inverse(y)[0]))) / flow.unit, y / flow.unit, 1e-5, "round trip")


def one_call(column: Any) -> None:
    """one evaluation of each network for `log_prob`, and for a sample with its density"""
    flow, (network, method) = column.glow(), column.NETWORK_CALL
    with mock.patch.object(network, method, autospec=True, side_effect=getattr(network, method)) as call:
        flow.log_prob(images(flow, 2))
        density = call.call_count
        flow.sample_and_log_prob(2)
    both = call.call_count - density
    assert density == both == 4, f"{density} and {both} evaluations of 4 networks"


def fresh(column: Any) -> None:
    """a change of the weights invalidates cached log-dets, even while their input lives"""
    flow = column.glow()
    y = flow.as_tensor(images(flow, 2))  # A cache would find this tensor by its identity.
    latents, before = flow.inverse(y), np.asarray(flow.log_prob(y))
    move(flow)
    after = np.asarray(flow.log_prob(y))
    close(after, flow.log_prob(np.asarray(y).copy()), 1e-6, "log_prob after a change of weights")
    assert np.any(before != after) and latents is not None


def any_batch(column: Any) -> None:
    """one trace or compilation for all batch sizes"""
    counts = column.glow().num_graphs((2, 5, 7))
    assert counts[0] == counts[-1], f"{counts} graphs after batches of 2, 5 and 7"


def trace(column: Any) -> None:
    """what is traced does not grow with depth"""
    few, many = (column.glow(num_steps).num_nodes() for num_steps in (2, 6))
    assert few == many, f"{few} nodes at K=2, {many} at K=6"


def reversible(column: Any) -> None:
    """what the backward pass keeps does not grow with depth"""
    few, many = (column.glow(num_steps, **column.REVERSIBLE).kept_bytes() for num_steps in (2, 6))
    assert many < 1.2 * few, f"{many / few:.1f} times as many bytes at K=6 as at K=2"


def mixed(column: Any) -> None:
    """networks in bfloat16, latents and densities in float32"""
    flow = column.mixed()
    for result in map(np.asarray, (flow.log_prob(images(flow, 4)), flow.inverse(images(flow, 4))[0])):
        assert result.dtype == np.float32 and np.all(np.isfinite(result))


def fit(column: Any) -> None:
    """Keras 3's `fit` trains every variable"""
    model, variables, y = column.fit()
    before = [np.asarray(variable).copy() for variable in variables]
    model.fit(y, batch_size=16, verbose=0)
    trained = sum(bool(np.any(np.asarray(v) != b)) for v, b in zip(variables, before, strict=True))
    assert trained == len(variables), f"{trained} of {len(variables)} variables are trained"


def replicas(column: Any) -> None:
    """two data-parallel replicas take the same step as one device"""
    for one, two in zip(*column.replicas(), strict=True):
        close(two, one, 1e-5, "weights after a step")


def restore(column: Any) -> None:
    """a new object that reads a checkpoint gives equal densities and is not initialized again"""
    flow, other = column.glow(), column.glow()
    y = images(flow, 8)
    flow.initialize(y)
    move(flow)
    with tempfile.TemporaryDirectory() as directory:
        other.load(flow.save(f"{directory}/checkpoint"))
    other.initialize(images(flow, 8, seed=1))
    close(other.log_prob(y), flow.log_prob(y), 1e-6, "log_prob")


def export(column: Any) -> None:
    """export that runs without the library's code"""
    flow = column.glow()
    y = images(flow, 6)
    with tempfile.TemporaryDirectory() as directory:
        model, data, out = (f"{directory}/{name}" for name in ("model", "y.npy", "log_prob.npy"))
        client = column.export(flow, model)
        np.save(data, y)
        done = subprocess.run([sys.executable, "-c", client, model, data, out], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
        close(np.load(out), flow.log_prob(y), 1e-4, "log_prob of the exported model")


def inference(column: Any) -> None:
    """posterior of variational inference, and transform of Hamiltonian Monte Carlo"""
    gradients, draws = column.inference()
    assert gradients and all(gradient is not None for gradient in gradients), "a network has no gradient"
    assert np.all(np.isfinite(np.asarray(draws))) and np.any(np.asarray(draws)), "the chain does not move"


ROWS = {name: value for name, value in vars().copy().items() if getattr(value, "__module__", None) == __name__}
COLUMNS = {"ours": "tfp_glow", "tfp": "`tfb.Glow`, `tfb.RealNVP` and other parts of TFP", "normflows": "normflows"}


def answer(column: Any, row: str) -> tuple[str, str]:
    """Checks a row in a column and returns "yes", "no" or "n/a", with a note.

    The note of a yes is the docstring of the column's function, which names what it uses. Otherwise it is the reason.
    """
    if row in (reasons := getattr(column, "NOT_APPLICABLE", {})):
        return "n/a", reasons[row]
    try:
        ROWS[row](column)
    except Exception as error:
        return "no", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "yes", (getattr(column, row, column.glow).__doc__).rstrip(".")
