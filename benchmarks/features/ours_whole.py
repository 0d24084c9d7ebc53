# SPDX-License-Identifier: Apache-2.0
"""This package's Glow as a whole: numerics, graphs, training, saving."""

import tempfile

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from benchmarks.features import tf_probes as probes
from tfp_glow.networks import ConvNet

tfd = tfp.distributions
SHAPE = (8, 8, 1)
SLOW = {"any_batch", "trace", "reversible", "fit", "replicas", "export"}  # What takes seconds.


def make(num_steps=2, shape=SHAPE, **arguments):
    return tfp_glow.glow(shape, num_levels=2, num_steps=num_steps, width=4, **arguments)


def images(batch, shape=SHAPE, **arguments):
    return 256.0 * probes.uniform(batch, *shape, **arguments)


def multiscale():
    flow = make(shape=(4, 4, 1))
    probes.move(flow.trainable_variables)
    counts = probes.latents_moved_by(flow.trainable_variables, flow.bijector, images(3, (4, 4, 1)))
    assert max(counts) == 16 and 8 in counts, f"latents moved by one variable: {sorted(set(counts))}"
    return "Multiscale"


def split_prior():
    flow = make(shape=(4, 4, 1))
    probes.move(flow.trainable_variables)
    prior = next(part for part in flow.submodules if part.name == "split_prior")
    counts = probes.latents_moved_by(prior.trainable_variables, flow.bijector, images(3, (4, 4, 1)))
    assert max(counts) == 8, f"latents moved by the prior's variables: {counts}"
    return "part of glow"


def classes():
    flow = make(num_classes=3)
    probes.move(flow.trainable_variables)
    y = images(2)
    given = [flow.log_prob(y, bijector_kwargs={"context": tf.one_hot([label, label], 3)}) for label in range(2)]
    assert np.all(given[0] != given[1])
    return "glow(num_classes=...)"


def float64():
    flow = make(shape=(4, 4, 1), dtype="float64", seed=0)
    y = images(32, (4, 4, 1), dtype="float64")
    tfp_glow.initialize(flow, y)
    probes.move(flow.trainable_variables)
    probes.is_bijector(flow.bijector, y[:2], 3, tolerance=1e-8)
    assert flow.log_prob(y).dtype == tf.float64
    return 'dtype="float64"'


def round_trip():
    flow, y = make(num_steps=4), images(16)
    tfp_glow.initialize(flow, y)
    probes.close(flow.bijector.forward(tf.identity(flow.bijector.inverse(y))) / 256.0, y / 256.0, 1e-5, "round trip")
    return "glow, 2 levels of 4 steps"


def one_call():
    flow, calls, call = make(), [], ConvNet.call
    ConvNet.call = lambda self, inputs: calls.append(1) or call(self, inputs)
    try:
        flow.log_prob(images(2))
        density = len(calls)
        flow.log_prob(flow.sample(2))
    finally:
        ConvNet.call = call
    assert (density, len(calls)) == (4, 8), f"{density} and {len(calls) - density} evaluations of 4 networks"
    return "4 evaluations of 4 networks"


def fresh():
    flow = make()
    probes.stays_fresh(flow, flow.bijector, images(2))
    return "PassCache"


def any_batch():
    traces = probes.traces(make().log_prob, SHAPE)
    assert traces == 1, f"{traces} traces"
    return "1 trace"


def trace():
    few, many = (probes.num_nodes(make(num_steps), images(2)) for num_steps in (2, 6))
    assert few == many, f"{few} nodes at K=2, {many} at K=6"
    return "Repeat: as many nodes at K=6 as at K=2"


def reversible():
    few, many = (probes.kept_bytes(make(num_steps, backprop="reversible"), images(8)) for num_steps in (2, 6))
    assert many < 1.2 * few, f"{many / few:.1f} times as much at K=6 as at K=2"
    return 'backprop="reversible": as much at K=6 as at K=2'


def mixed():
    flow, y = make(network_dtype="mixed_bfloat16"), images(4)
    dtypes, call = set(), ConvNet.call
    ConvNet.call = lambda self, inputs: dtypes.add(inputs.dtype) or call(self, inputs)
    try:
        log_prob, latents = flow.log_prob(y), flow.bijector.inverse(y)
    finally:
        ConvNet.call = call
    assert dtypes == {tf.bfloat16} and log_prob.dtype == latents.dtype == tf.float32
    assert np.all(np.isfinite(log_prob))
    return 'network_dtype="mixed_bfloat16"'


def fit():
    model = tfp_glow.FlowModel(make())
    model.compile(keras.optimizers.Adam(1e-2))
    before = [v.numpy() for v in model.distribution.trainable_variables]
    model.fit(images(48).numpy(), batch_size=16, verbose=0)
    assert all(np.any(v != b) for v, b in zip(model.distribution.trainable_variables, before, strict=True))
    return "FlowModel"


def replicas():
    weights = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with strategy.scope():
            model = tfp_glow.FlowModel(make(seed=0))
            model.initialize(images(8))
            model.compile(keras.optimizers.SGD(1e-2))
        model.fit(images(8).numpy(), batch_size=8, verbose=0)
        weights.append([v.numpy() for v in model.trainable_variables])
    for one, two in zip(*weights, strict=True):
        probes.close(two, one, 1e-5, "weights after a step")
    return "tf.distribute.MirroredStrategy, fit"


def restore():
    flow, other, y = make(), make(), images(8)
    tfp_glow.initialize(flow, y)
    probes.move(flow.trainable_variables)
    with tempfile.TemporaryDirectory() as directory:
        path = tf.train.Checkpoint(flow=flow).write(f"{directory}/checkpoint")
        tf.train.Checkpoint(flow=other).read(path)
    tfp_glow.initialize(other, images(8, seed=1))
    probes.close(other.log_prob(y), flow.log_prob(y), 1e-6, "log_prob")
    return "tf.train.Checkpoint"


def export():
    probes.runs_alone(make(), SHAPE)
    return "SavedModel, for batches of any size"
