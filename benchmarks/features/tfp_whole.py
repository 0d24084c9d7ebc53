# SPDX-License-Identifier: Apache-2.0
"""TFP's Glow as a whole: numerics, graphs, training, saving."""

import contextlib
import math
import tempfile

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.features import tf_probes as probes

tfb, tfd = tfp.bijectors, tfp.distributions
SHAPE = (8, 8, 1)
SLOW = {"float64", "any_batch", "trace", "reversible", "fit", "replicas", "export"}  # What takes seconds.


class Network(tfb.GlowDefaultNetwork):
    """Its own default network, of a small width, that counts evaluations."""

    calls = 0

    def __init__(self, shape):
        super().__init__(shape, num_hidden=4)

    def call(self, inputs, *args, **kwargs):
        Network.calls += 1
        return super().call(inputs, *args, **kwargs)


def make(num_steps=2, shape=SHAPE, network=Network, exit_network=tfb.GlowDefaultExitNetwork):
    glow = tfb.Glow(shape, num_glow_blocks=2, num_steps_per_block=num_steps, coupling_bijector_fn=network,
                    exit_bijector_fn=exit_network)
    dtype = tf_keras.backend.floatx()
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(math.prod(shape), dtype)), glow)
    flow.log_prob(probes.uniform(16, *shape, dtype=dtype))  # Builds the networks and sets the actnorms.
    return flow


def multiscale():
    flow = make(shape=(4, 4, 1))
    probes.move(flow.trainable_variables)
    counts = probes.latents_moved_by(flow.trainable_variables, flow.bijector, probes.uniform(3, 4, 4, 1))
    assert max(counts) == 16 and 8 in counts, f"latents moved by one variable: {sorted(set(counts))}"
    return "tfb.Glow"


def split_prior():
    flow = make(shape=(4, 4, 1))
    probes.move(flow.trainable_variables)
    networks = [part.exit_layer for part in flow.submodules if getattr(part, "exit_layer", None) is not None]
    counts = probes.latents_moved_by([v for network in networks for v in network.trainable_variables], flow.bijector,
                                     probes.uniform(3, 4, 4, 1))
    assert 0 < max(counts) <= 8, f"latents moved by the prior's variables: {counts}"
    return "exit_bijector_fn"


@contextlib.contextmanager
def setting(set_it, value, usual):
    """A global setting of tf_keras, for a while."""
    set_it(value)
    try:
        yield
    finally:
        set_it(usual)


def float64():
    with setting(tf_keras.backend.set_floatx, "float64", "float32"):
        flow = make(shape=(4, 4, 1))
        y = probes.uniform(2, 4, 4, 1, dtype="float64")
        probes.move(flow.trainable_variables)
        probes.is_bijector(flow.bijector, y, 3, tolerance=1e-8)
        assert flow.log_prob(y).dtype == tf.float64
    return "tf_keras.backend.set_floatx"


def round_trip():
    flow, y = make(num_steps=4), probes.uniform(16, *SHAPE)
    probes.close(flow.bijector.forward(tf.identity(flow.bijector.inverse(y))), y, 1e-5, "round trip")
    return "tfb.Glow, 2 levels of 4 steps"


def one_call():
    flow = make()
    Network.calls = 0
    flow.log_prob(probes.uniform(2, *SHAPE))
    density = Network.calls
    flow.log_prob(flow.sample(2))
    both = Network.calls - density
    assert density == both == 4, f"{density} and {both} evaluations of 4 networks, eagerly"
    return "4 evaluations of 4 networks"


def fresh():
    flow = make()
    probes.stays_fresh(flow, flow.bijector, probes.uniform(2, *SHAPE))
    return "tfb.Glow"


def any_batch():
    traces = probes.traces(make().log_prob, SHAPE)
    assert traces == 1, f"{traces} traces"
    return "1 trace"


def trace():
    few, many = (probes.num_nodes(make(num_steps), probes.uniform(2, *SHAPE)) for num_steps in (2, 6))
    assert few == many, f"{few} nodes at K=2, {many} at K=6"
    return "as many nodes at K=6 as at K=2"


def reversible():
    few, many = (probes.kept_bytes(make(num_steps), probes.uniform(8, *SHAPE)) for num_steps in (2, 6))
    assert many < 1.2 * few, f"{many / few:.1f} times as much at K=6 as at K=2"
    return "as much at K=6 as at K=2"


def mixed():
    def network(shape, output_chan=None):
        outputs = 2 * (output_chan or shape[-1])
        return tf_keras.Sequential([tf_keras.layers.Conv2D(4, 3, padding="same", dtype="mixed_bfloat16"),
                                    tf_keras.layers.Conv2D(outputs, 3, padding="same", dtype="mixed_bfloat16"),
                                    tf_keras.layers.Activation("linear", dtype="float32")])

    flow, y = make(network=network, exit_network=network), probes.uniform(4, *SHAPE)
    log_prob, latents = flow.log_prob(y), flow.bijector.inverse(y)
    assert log_prob.dtype == latents.dtype == tf.float32 and np.all(np.isfinite(log_prob))
    return "networks of one's own, which end in float32"


class Model(keras.Model):
    """A Keras 3 model of a distribution, which knows its networks."""

    def __init__(self, flow, networks):
        super().__init__()
        self.flow, self.networks = flow, networks

    def call(self, y):
        return self.flow.log_prob(y)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -tf.reduce_mean(y_pred)


def fit():
    networks = []

    def network(shape, output_chan=None):
        networks.append(keras.Sequential([
            keras.Input(shape), keras.layers.Conv2D(2 * (output_chan or shape[-1]), 3, padding="same")]))
        return networks[-1]

    flow = make(network=network, exit_network=network)
    model = Model(flow, networks)
    model.compile(keras.optimizers.Adam(1e-2))
    variables = {id(v): v for v in flow.trainable_variables}
    variables |= {id(v.value): v.value for part in networks for v in part.trainable_variables}
    before = {key: v.numpy() for key, v in variables.items()}
    model.fit(probes.uniform(48, *SHAPE).numpy(), batch_size=16, verbose=0)
    trained = sum(bool(np.any(v != before[key])) for key, v in variables.items())
    assert trained == len(variables), f"{trained} of {len(variables)} variables are trained, those of its networks"
    return "keras.Model"


def replicas():
    weights, y = [], probes.uniform(8, *SHAPE)
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with strategy.scope():
            tf_keras.utils.set_random_seed(0)
            flow = make()
            optimizer = tf_keras.optimizers.SGD(1e-2)
            optimizer.build(flow.trainable_variables)

        def step(y, flow=flow, optimizer=optimizer):
            loss, gradients = probes.loss_and_gradients(flow, y)
            share = 1.0 / tf.distribute.get_strategy().num_replicas_in_sync
            optimizer.apply_gradients(zip([g * share for g in gradients], flow.trainable_variables, strict=True))
            return loss

        data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(y).unbatch().batch(8))
        tf.function(lambda batch, strategy=strategy, step=step: strategy.run(step, [batch]), autograph=False)(
            next(iter(data)))
        weights.append([v.numpy() for v in flow.trainable_variables])
    for one, two in zip(*weights, strict=True):
        probes.close(two, one, 1e-5, "weights after a step")
    return "tf.distribute.MirroredStrategy, a loop of one's own"


def restore():
    flow, other, y = make(), make(), probes.uniform(8, *SHAPE)
    probes.move(flow.trainable_variables)
    with tempfile.TemporaryDirectory() as directory:
        path = tf.train.Checkpoint(flow=flow).write(f"{directory}/checkpoint")
        tf.train.Checkpoint(flow=other).read(path)
    other.log_prob(probes.uniform(8, *SHAPE, seed=1))
    probes.close(other.log_prob(y), flow.log_prob(y), 1e-6, "log_prob")
    return "tf.train.Checkpoint"


def export():
    probes.runs_alone(make(), SHAPE, batch=3)
    return "SavedModel, for batches of one size"
