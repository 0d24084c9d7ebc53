# SPDX-License-Identifier: Apache-2.0
"""How a flow is trained: by maximum likelihood, through Keras's `fit`."""

import keras
import tensorflow as tf

from tfp_glow.bijectors import FlowBijector, initialize
from tfp_glow.models.quantization import check_finite, first_batch


class FlowTraining:
    """The methods of `FlowModel` that set its weights, or measure the loss, in terms of those of `keras.Model`.

    Whoever mixes this in has `distribution`, `dequantizer`, `condition_spec`, `functions`, a `FlowFunctions`, and
    `classifier`, a `LatentClassifier` or None.
    """

    def compile(self, optimizer="adamax", *, jit_compile=False, **kwargs):
        """Keras's `compile`, without a loss; XLA only on demand, as it is slower than TensorFlow's kernels on CPUs."""
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config):
        """Undoes Keras's `get_compile_config`, when a saved model is loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, y=None, *args, **kwargs):
        """Keras's `fit`; initialises data-dependent parameters from the first batch of `x`, if they are not set.

        Raises:
          ValueError: if the model needs labels or contexts and `y`, the dataset or `validation_data` has none, or wrong
            ones; or an array is not finite.
        """
        check_finite("x", x)
        condition, validation = self._functions.condition, kwargs.get("validation_data")
        condition.check_data(x, y)
        if validation is not None:
            condition.check_data(*(validation[:2] if isinstance(validation, (tuple, list)) else [validation]),
                                 argument="validation_data")
        if not self.is_initialized:
            events, labels = first_batch(x, y)
            self.initialize(events, None if condition.spec is None else labels)
        with condition.named_errors():
            return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Keras's `evaluate`; raises `ValueError` as `fit`."""
        self._functions.condition.check_data(x, y)
        with self._functions.condition.named_errors():
            return super().evaluate(x, y, *args, **kwargs)

    def train_step(self, data):
        """Keras's `train_step`; what densities are conditioned on reaches `call` beside the events."""
        return super().train_step(self._with_condition(data))

    def test_step(self, data):
        """Keras's `test_step`, likewise."""
        return super().test_step(self._with_condition(data))

    def _with_condition(self, data):
        if self.condition_spec is None:
            return data
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self._functions.condition.check_step(y)
        return (x, y), y, sample_weight

    @property
    def is_initialized(self):
        """Whether every data-dependent parameter is set."""
        whole = [self.distribution] if self.dequantizer is None else [self.distribution, self.dequantizer]
        return all(m.is_initialized for flow in whole for m in flow.submodules if isinstance(m, FlowBijector))

    def initialize(self, batch, condition=None):
        """Sets data-dependent parameters from a batch of events; those that are set already stay.

        Args:
          batch: `[batch, *event_shape]`.
          condition: their labels or contexts, if there is a `condition_spec`.

        Raises:
          ValueError: if `batch` does not hold events of `event_shape`, or is not finite; or `condition` is not as said.
        """
        batch = self._checked("batch", batch)
        given = self._functions.condition.of_batch(condition, (len(batch),))
        context = {"context": self._functions.condition.context(*given)} if given else {}
        points = self._functions.points(batch, (2 * self._seed, 0))
        initialize(self.distribution, points, **context)
        self._functions.dequantization.initialize(points)

    def call(self, x, training=None):
        """Log-density of every event of a batch, in nats; of whole numbers a bound, with fresh noise.

        With a `condition_spec`, `x` is the pair of events and conditions; with a classifier, its logits come second.
        """
        condition = ()
        if self.condition_spec is not None:
            if not isinstance(x, (tuple, list)) or len(x) != 2:
                raise ValueError(f"Argument `x` must be a pair of events and {self.condition_spec.name}; "
                                 f"received {x!r}.")
            x, *condition = x
        if training and getattr(self, "optimizer", None) is not None:
            seed = (2 * self._seed, self.optimizer.iterations)
        else:  # The number of events evaluated so far; each replica counts its own.
            seed = (2 * self._seed + 1, self._bits_metric.count * _num_replicas())
        points, log_q = self._functions.dequantization(x, seed)
        keywords = self._functions.condition.keywords(*condition)
        if self.classifier is None:
            return self.distribution.log_prob(points, **keywords) - log_q
        context = keywords["bijector_kwargs"]
        latents = self.distribution.bijector.inverse(points, **context)  # Held, so that `log_prob` shares this pass.
        return self.distribution.log_prob(points, **keywords) - log_q, self.classifier(latents, **context)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean bits per dimension plus regularisers, divided among replicas as Keras expects."""
        log_prob, logits = (y_pred, None) if self.classifier is None else y_pred
        bits = self._functions.to_bits(log_prob)
        if logits is not None:
            bits += self._weight_y * self.classifier.bits(y, logits)
        if sample_weight is not None:
            bits *= tf.cast(sample_weight, bits.dtype)
        size = tf.cast(tf.size(bits), bits.dtype)  # 0 where a last batch has fewer events than there are replicas.
        return (tf.math.divide_no_nan(tf.reduce_sum(bits), size) + sum(self.losses)) / _num_replicas()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates `bits_per_dim`, and `accuracy` if there is a classifier, and returns all metrics."""
        log_prob, logits = (y_pred, None) if self.classifier is None else y_pred
        self._bits_metric.update_state(self._functions.to_bits(log_prob), sample_weight)
        if logits is not None:
            self._accuracy_metric.update_state(y, logits, sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self):
        """Keras's; as vectors of one number from a replica among several workers, where Keras averages over an axis."""
        results = super().get_metrics_result()
        if tf.distribute.in_cross_replica_context() or not _has_several_workers():
            return results
        return {name: tf.reshape(value, (1,)) for name, value in results.items()}


def _num_replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


def _has_several_workers():
    strategy = tf.distribute.get_strategy()
    return (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
            and strategy.num_replicas_in_sync > len(strategy.extended.worker_devices))
