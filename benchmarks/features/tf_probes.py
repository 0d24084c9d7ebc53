# SPDX-License-Identifier: Apache-2.0
"""Questions put to TensorFlow bijectors and distributions, ours and TFP's alike."""

import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

_CPU = tf.config.list_physical_devices("CPU")[0]
if tf.config.get_logical_device_configuration(_CPU) is None:
    tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


def uniform(*shape, seed=0, dtype="float32"):
    """Numbers in [0, 1)."""
    return tf.constant(np.random.RandomState(seed).uniform(size=shape), dtype)


def move(variables, scale=0.1, seed=0):
    """Moves variables off their start, so that networks that start at zero count."""
    rng = np.random.RandomState(seed)
    for variable in variables:
        variable.assign_add(scale * rng.standard_normal(variable.shape))


def close(received, expected, tolerance, what):
    """Asserts that two arrays agree, absolutely or relatively, and have one shape."""
    received, expected = np.asarray(received, "float64"), np.asarray(expected, "float64")
    assert received.shape == expected.shape, f"{what}: shape {received.shape} instead of {expected.shape}"
    error = np.max(np.abs(received - expected) / (1.0 + np.abs(expected)))
    assert error <= tolerance, f"{what}: off by {error:.2g}"


def is_bijector(bijector, y, event_ndims, tolerance=1e-4, **conditions):
    """Asserts that images return from the latents, and that the log-det is the Jacobian's by autodiff."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        x = bijector.inverse(y, **conditions)
    size = int(np.prod(y.shape[-event_ndims:]))
    jacobian = tf.reshape(tape.batch_jacobian(x, y, experimental_use_pfor=False), (-1, size, size))
    log_det = bijector.inverse_log_det_jacobian(tf.identity(y), event_ndims, **conditions)
    log_det = tf.broadcast_to(log_det, y.shape[:-event_ndims])  # One number for the whole batch is allowed.
    close(log_det, tf.linalg.slogdet(jacobian)[1], tolerance, "log-det")
    close(bijector.forward(tf.identity(x), **conditions), y, tolerance, "round trip")


def is_normalised(latents, what="latents"):
    """Asserts mean 0 and standard deviation 1 in every channel."""
    axes = list(range(latents.shape.rank - 1))
    close(tf.reduce_mean(latents, axes), np.zeros(latents.shape[-1]), 1e-3, f"mean of {what}")
    close(tf.math.reduce_std(latents, axes), np.ones(latents.shape[-1]), 1e-3, f"deviation of {what}")


def latents_moved_by(variables, bijector, y):
    """How many latents change when a variable does: a number for each of the variables."""
    before, counts = bijector.inverse(tf.identity(y)), []
    for variable in variables:
        value = variable.numpy()
        move([variable], scale=1.0)
        counts.append(int(tf.math.count_nonzero(tf.reduce_any(bijector.inverse(tf.identity(y)) != before, axis=0))))
        variable.assign(value)
    return counts


def stays_fresh(flow, bijector, y):
    """Asserts that a density is that of the weights as they are, while its input and latents live."""
    latents = bijector.inverse(y)
    before = flow.log_prob(y)
    move(flow.trainable_variables)
    after = flow.log_prob(y)
    close(after, flow.log_prob(tf.identity(y)), 1e-6, "log_prob after a change of weights")
    assert np.any(before != after) and latents is not None


def loss_and_gradients(flow, y):
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(flow.log_prob(y))
    return loss, tape.gradient(loss, flow.trainable_variables)


def num_nodes(flow, y):
    """Nodes of the graph of a loss and its gradients, those of functions in it included."""
    function = tf.function(lambda y: loss_and_gradients(flow, y), autograph=False)
    graph = function.get_concrete_function(y).graph.as_graph_def()
    return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)


def kept_bytes(flow, y):
    """Bytes of what depends on the batch and goes from the computation of a loss to that of its gradients."""

    @tf.function(autograph=False)
    def total(y):
        loss, _ = loss_and_gradients(flow, y)
        before = _closure([loss.op], lambda op: [t.op for t in op.inputs])
        of_batch = _closure(y.consumers(), lambda op: [c for t in op.outputs for c in t.consumers()])
        kept = [t for op in before & of_batch for t in op.outputs if any(c not in before for c in t.consumers())]
        return tf.reduce_sum([_num_bytes(t) for t in kept])

    return int(total(y))


def _closure(start, neighbours):
    found, todo = set(), list(start)
    while todo:
        op = todo.pop()
        if op not in found:
            found.add(op)
            todo += neighbours(op)
    return found


def _num_bytes(tensor):
    if tensor.dtype != tf.variant:
        return tf.cast(tf.size(tensor), tf.int64) * tensor.dtype.size
    # What a loop keeps of its turns is a list of tensors, of 4-byte numbers here.
    length = tf.cast(tf.raw_ops.TensorListLength(input_handle=tensor), tf.int64)
    shape = tf.raw_ops.TensorListElementShape(input_handle=tensor, shape_type=tf.int64)
    return length * tf.reduce_prod(tf.maximum(shape, 1)) * 4


def traces(function, shape):
    """How many traces calls with batches of 2, 5 and 7 take."""
    graph = tf.function(function, input_signature=[tf.TensorSpec((None, *shape))], autograph=False)
    for batch in (2, 5, 7):
        y = uniform(batch, *shape)
        close(graph(y), function(y), 1e-3, f"graph of a batch of {batch}")
    return graph.experimental_get_tracing_count()


CLIENT = """
import sys
for module in ("tfp_glow", "tensorflow_probability", "keras", "tf_keras"):
    sys.modules[module] = None
import numpy as np
import tensorflow as tf
path, data, out = sys.argv[1:]
model = tf.saved_model.load(path)
np.save(out, np.concatenate([model.log_prob(tf.constant(part)) for part in np.split(np.load(data), 2)]))
"""


def runs_alone(flow, shape, batch=None):
    """Asserts that TensorFlow alone gives the densities of an exported flow, for batches of 3 if not of any size."""
    y = uniform(6, *shape)
    module = tf.Module()
    module.state = flow.variables
    module.log_prob = tf.function(flow.log_prob, input_signature=[tf.TensorSpec((batch, *shape))], autograph=False)
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, f"{directory}/model")
        np.save(f"{directory}/y.npy", y)
        done = subprocess.run([sys.executable, "-c", CLIENT, f"{directory}/model", f"{directory}/y.npy",
                               f"{directory}/out.npy"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
        close(np.load(f"{directory}/out.npy"), flow.log_prob(y), 1e-4, "log_prob of the exported model")
