# SPDX-License-Identifier: Apache-2.0
"""Tests of the data of `fit`, `evaluate` and `predict`: sources, weights, labels, callbacks, metrics and strategies."""

import contextlib
import copy
import functools
import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow.bijectors import ActNorm, AffineCoupling, AffinePixels, Steps
from tfp_glow.flows import register_flow
from tfp_glow.networks import MLP

tfd = tfp.distributions
SHAPE = (4,)
RNG = np.random.RandomState(0)
PIXELS = RNG.randint(0, 256, (24, *SHAPE)).astype("uint8")
POINTS = (PIXELS + RNG.uniform(size=PIXELS.shape)).astype("float32")
LABELS = RNG.randint(0, 3, 24)
WEIGHTS = np.where(np.arange(24) < 12, 2.0, 0.0)


@register_flow("flow_of_pixel_vectors")
def pixel_flow(num_classes=None):
    context = None if num_classes is None else (num_classes,)
    coupling = AffineCoupling(SHAPE, MLP(4, (4,), seed=0), context_shape=context)
    base = tfd.Independent(tfd.Normal(tf.zeros(SHAPE), 1.0), 1)
    return tfd.TransformedDistribution(base, Steps([AffinePixels(SHAPE), ActNorm(SHAPE), coupling]))


def build(num_classes=None, strategy=None, initialize=False, **kwargs):
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = tfp_glow.FlowModel(pixel_flow(num_classes))
        model.compile(keras.optimizers.SGD(0.0), **kwargs)
    if initialize:
        model.initialize(PIXELS, *(() if num_classes is None else (LABELS,)))
    return model


@pytest.fixture(scope="module")
def plain():
    """An initialized model without conditions, whose training does not change it."""
    return build(initialize=True)


@pytest.fixture(scope="module")
def classes():
    """An initialized class-conditional model, whose training does not change it."""
    return build(num_classes=3, initialize=True)


def two_replicas():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())


def batches(*data):
    return tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data[0]).batch(8)


class Batches(keras.utils.PyDataset):
    def __init__(self, *data):
        super().__init__()
        self.data = data

    def __len__(self):
        return 3

    def __getitem__(self, index):
        parts = tuple(part[8 * index:8 * index + 8] for part in self.data)
        return parts if len(parts) > 1 else parts[0]


def generator(*data):
    source = Batches(*data)
    return (source[index] for index in range(3))


# Sources.


@pytest.mark.parametrize("source", [
    Batches, generator, batches, lambda x: x.tolist(), list, lambda x: [x], tf.constant,
    lambda x: keras.Variable(x, dtype="uint8", trainable=False)],
    ids=["py_dataset", "generator", "dataset", "numbers", "list_of_events", "list_of_one", "tensor", "variable"])
def test_every_source_initializes_trains_and_evaluates(source, plain):
    model, seen = build(), []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda index, logs: seen.append(index))
    model.fit(source(PIXELS), batch_size=None if source in (Batches, generator, batches) else 8, verbose=0,
              callbacks=callback)
    assert model.is_initialized and len(seen) == 3  # A generator loses no batch.
    expected = plain.log_prob(POINTS)
    np.testing.assert_allclose(plain.predict(POINTS, verbose=0), expected, rtol=1e-6)
    bits = plain.evaluate(batches(POINTS), verbose=0)[0]
    assert bits == pytest.approx(float(np.mean(plain.functions.to_bits(expected))), rel=1e-5)
    if source in (Batches, generator):
        np.testing.assert_allclose(plain.predict(source(POINTS), verbose=0), expected, rtol=1e-6)
        assert plain.evaluate(source(POINTS), verbose=0)[0] == pytest.approx(bits, rel=1e-6)


def test_sources_with_labels(classes):
    expected = classes.log_prob(POINTS, condition=LABELS)
    for source in (Batches, generator, batches):
        model = build(num_classes=3)
        model.fit(source(PIXELS, LABELS[:, None]), verbose=0)
        assert model.is_initialized
        np.testing.assert_allclose(classes.predict(source(POINTS, LABELS), verbose=0), expected, rtol=1e-6)
    model = build(num_classes=3)
    model.fit(PIXELS, LABELS.tolist(), verbose=0)
    np.testing.assert_allclose(classes.predict((POINTS, LABELS.tolist()), verbose=0), expected, rtol=1e-6)


def test_labels_in_a_column(classes):
    expected = classes.evaluate(POINTS, LABELS, verbose=0)
    for data in ((POINTS, LABELS[:, None]), (batches(POINTS, LABELS[:, None]),)):
        np.testing.assert_allclose(classes.evaluate(*data, verbose=0), expected, rtol=1e-6)
    np.testing.assert_array_equal(classes.log_prob(POINTS, condition=LABELS[:, None]),
                                  classes.log_prob(POINTS, condition=LABELS))


@pytest.mark.parametrize(("data", "message"), [
    (None, "must be an array of events, a tf.data.Dataset.*received None"),
    ("digits", "must be an array of events, a tf.data.Dataset.*received 'digits'"),
    (7, "must be an array of events, a tf.data.Dataset.*received int"),
    ({"image": PIXELS}, r"must hold events, not dicts; received a dict with the keys \['image'\]. Pass the values"),
    (batches({"image": PIXELS, "label": LABELS}), r"must hold events, not dicts; received .*\['image', 'label'\]"),
    (batches({"image": PIXELS}, LABELS), r"must hold events, not dicts; received .*\['image'\]"),
    (({"image": PIXELS[:8]} for _ in range(2)), r"must hold events, not dicts; received .*\['image'\]"),
    ([PIXELS, PIXELS[:5]], "must be an array of numbers; received a list whose parts"),
    (tf.ragged.constant([[1], [2, 3]]), "must be an array of events.*received 'RaggedTensor'"),
    ((x for x in PIXELS), r"must have shape \(batch, 4\); received shape \(4,\). The batches must have a batch axis"),
    (PIXELS.astype(str), "must hold floats or integers; received string"),
])
def test_wrong_sources_raise(data, message):
    with pytest.raises(ValueError, match="`x` " + message):
        build().fit(data, verbose=0)


def test_wrong_calls_raise(plain, classes):
    with pytest.raises(TypeError, match=r"fit\(\) got an unexpected keyword argument 'epoch'"):
        plain.fit(PIXELS, epoch=2)
    with pytest.raises(ValueError, match=r"`x` must be a pair \(events, labels\), as in `predict\(\(x, labels\)\)`"):
        classes.predict(POINTS)
    with pytest.raises(ValueError, match="one-hot vectors to labels, as in `np.argmax"):
        classes.fit(PIXELS, np.eye(3)[LABELS])
    with pytest.raises(ValueError, match="`class_weight` requires the classes"):
        plain.fit(PIXELS, class_weight={0: 1.0})
    with pytest.raises(ValueError, match="`validation_data` must hold at least one event"):
        plain.fit(PIXELS, validation_data=(PIXELS[:0],))


# Weights.


def test_weights_without_conditions_are_used(plain, classes):
    half = plain.evaluate(POINTS[:12], verbose=0)[0]
    ways = [(POINTS, None, WEIGHTS), (POINTS, LABELS, WEIGHTS), (POINTS, None, WEIGHTS[:, None]),
            (POINTS, None, WEIGHTS.tolist())]
    for x, y, weights in ways:
        results = plain.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
        assert results["bits_per_dim"] == pytest.approx(half, rel=1e-5)
        assert results["loss"] == pytest.approx(half, rel=1e-5)  # The mean of 2 and 0 is 1.
    history = plain.fit(POINTS, sample_weight=WEIGHTS, validation_data=(POINTS, None, WEIGHTS), verbose=0).history
    for name in ("loss", "bits_per_dim", "val_loss", "val_bits_per_dim"):
        assert history[name][0] == pytest.approx(half, rel=1e-4)
    assert plain.test_on_batch(POINTS, sample_weight=WEIGHTS)[0] == pytest.approx(half, rel=1e-5)
    assert plain.train_on_batch(POINTS, sample_weight=WEIGHTS)[0] == pytest.approx(half, rel=1e-5)
    expected = classes.evaluate(POINTS[:12], LABELS[:12], verbose=0)
    given = classes.evaluate(batches(POINTS, LABELS, WEIGHTS[:, None]), verbose=0)
    np.testing.assert_allclose(given, expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [np.ones((24, 4)), np.ones(23), np.ones((24, 1, 1)), np.full(24, np.nan)])
def test_wrong_weights_raise(plain, weights):
    with pytest.raises(ValueError, match="`sample_weight` must (have shape|be finite)"):
        plain.fit(PIXELS, sample_weight=weights, verbose=0)
    if len(weights) == 24 and weights.ndim > 1:
        with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(batch,\), one value per event"):
            plain.fit(batches(PIXELS, LABELS, weights), verbose=0)


def test_batches_with_another_number_of_labels_or_weights_raise(plain, classes):
    def broken(*others):
        return ((PIXELS[:8], *others) for _ in range(2))

    with pytest.raises(ValueError, match="^Labels must have one value per event; received values: 1 for events: 8"):
        classes.fit(broken(LABELS[:1]), verbose=0)
    with pytest.raises(ValueError, match="^Sample_weight must have one value per event; received values: 1 for"):
        plain.fit(broken(LABELS[:8], np.ones(1)), verbose=0)


# Callbacks, metrics and Keras's own ways of saving.


def test_callbacks_monitor_the_metrics_without_a_mode(tmp_path):
    flow = tfp_glow.glow((2, 2, 1), num_levels=1, num_steps=1, width=2, num_classes=3)
    model = tfp_glow.FlowModel(flow, weight_y=0.1)
    model.compile(keras.optimizers.SGD(0.0))
    images = PIXELS.reshape(-1, 2, 2, 1)
    expected = {"val_bits_per_dim": "min", "bits_per_dim": "min", "val_accuracy": "max", "val_loss": "auto"}
    callbacks = [keras.callbacks.EarlyStopping(name, patience=1) for name in expected]
    callbacks += [keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "val_bits_per_dim", save_best_only=True),
                  keras.callbacks.ReduceLROnPlateau("val_bits_per_dim", min_delta=10.0, patience=1, verbose=0)]
    model.fit(images, LABELS, epochs=4, validation_data=(images + 0.5, LABELS), verbose=0, callbacks=callbacks)
    assert [callback.mode for callback in callbacks[:4]] == list(expected.values())
    assert callbacks[0].stopped_epoch == 1  # The validation does not improve.
    assert (tmp_path / "best.keras").exists()


def test_metrics_require_conditions():
    model = build(metrics=["mae"])
    history = model.fit(POINTS, LABELS, verbose=0).history
    assert history["mae"][0] == pytest.approx(np.mean(np.abs(LABELS - model.log_prob(POINTS))), rel=1e-5)
    with pytest.raises(ValueError, match="`y` must be given, because `compile` received metrics"):
        model.fit(POINTS, verbose=0)
    with pytest.raises(ValueError, match="`loss` must be left out, because the loss is built in; received 'mse'"):
        model.compile(loss="mse")


def test_keras_exports_the_density(tmp_path, plain, classes):
    plain.export(tmp_path / "plain", verbose=False)
    served = tf.saved_model.load(tmp_path / "plain")
    np.testing.assert_allclose(served.serve(POINTS), plain.log_prob(POINTS), rtol=1e-5)
    assert served.serve(POINTS[:0]).shape == (0,)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"events must have shape \(batch, 4\); received shape"):
        served.signatures["serve"](tf.zeros((2, 8)))
    classes.export(tmp_path / "classes", verbose=False)
    served = tf.saved_model.load(tmp_path / "classes")
    np.testing.assert_allclose(served.serve((POINTS, LABELS.astype("int32"))),
                               classes.log_prob(POINTS, condition=LABELS), rtol=1e-5)


def test_files_other_than_keras_raise(plain, tmp_path):
    for name in ("model.h5", "model", "model.weights.h5"):
        with pytest.raises(ValueError, match=r"`filepath` must end in '.keras'; received .*`save_weights`"):
            plain.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_models_are_pickled_and_copied(plain):
    for other in (pickle.loads(pickle.dumps(plain)), copy.deepcopy(plain)):
        np.testing.assert_array_equal(other.log_prob(POINTS), plain.log_prob(POINTS))
        assert other.optimizer is not None
    unknown = tfp_glow.FlowModel(tfd.Sample(tfd.Normal(tf.Variable(0.0), 1.0), 2))
    with pytest.raises(ValueError, match="can be saved whole only if a flow of this package"):
        pickle.dumps(unknown)


def test_training_by_hand_without_initialization_warns_once():
    def number_of_warnings(train):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train()
        return sum("data-dependent parameters are not set" in str(warning.message) for warning in caught)

    model = build()
    assert number_of_warnings(lambda: [model.train_on_batch(PIXELS) for _ in range(2)]) == 1
    assert number_of_warnings(lambda: build(initialize=True).train_on_batch(PIXELS)) == 0
    assert number_of_warnings(lambda: build().fit(PIXELS, verbose=0)) == 0


# Distribution strategies.


def test_metrics_and_uneven_batches_under_a_strategy(classes):
    model = build(num_classes=3, strategy=two_replicas(), metrics=["mae", keras.metrics.mean_squared_error])
    model.set_weights(classes.get_weights())
    history = model.fit(POINTS, LABELS, verbose=0).history
    log_prob = classes.log_prob(POINTS, condition=LABELS)
    assert history["mae"][0] == pytest.approx(np.mean(np.abs(LABELS - log_prob)), rel=1e-4)
    bits = np.mean(classes.functions.to_bits(log_prob))
    assert history["bits_per_dim"][0] == pytest.approx(bits, rel=1e-4)
    model.compile("sgd")
    uneven = model.evaluate(POINTS, LABELS, batch_size=23, verbose=0)  # The last batch has one event.
    assert uneven[0] == pytest.approx(bits, rel=1e-4)
    with pytest.raises(ValueError, match="`metrics` must hold keras.metrics.Metric objects.*received 'accuracy'"):
        model.compile("sgd", metrics=["accuracy"])


@pytest.mark.slow
def test_integers_outside_the_domain_under_a_strategy():
    model = build(strategy=two_replicas())
    with pytest.raises(ValueError, match=r"Events must be integers in \[0, 256\); received values from"):
        model.fit(batches(np.concatenate([PIXELS.astype("int32"), np.full((8, *SHAPE), 256)])), verbose=0)


def test_parts_that_were_built_outside_of_the_scope_raise(plain):
    strategy, flow, optimizer = two_replicas(), pixel_flow(), keras.optimizers.Adam()
    rule = "must be created under the distribution strategy, MirroredStrategy. Build the distribution"
    with strategy.scope():
        with pytest.raises(ValueError, match=f"The model {rule}"):
            tfp_glow.FlowModel(flow).compile()
        model = tfp_glow.FlowModel(pixel_flow())
        with pytest.raises(ValueError, match=f"The optimizer {rule}"):
            model.compile(optimizer)
        for call in (plain.fit, plain.evaluate, plain.predict):
            with pytest.raises(ValueError, match=f"The model {rule}"):
                call(PIXELS, verbose=0)


def test_arrays_have_the_batches_of_keras_without_autotuning(monkeypatch):
    """The numbers are those of Keras's own methods, which get a dataset that ends without waiting for an autotuner."""
    def trained(fit, evaluate, predict):
        keras.utils.set_random_seed(5)
        model = tfp_glow.FlowModel(pixel_flow(), seed=1)
        model.compile(keras.optimizers.SGD(0.01))
        model.initialize(PIXELS)
        history = fit(model, PIXELS, batch_size=5, epochs=2, validation_split=0.25, sample_weight=WEIGHTS, verbose=0,
                      y=np.zeros(24, np.int32)).history
        return history, evaluate(model, PIXELS, batch_size=7, verbose=0), predict(
            model, PIXELS, batch_size=7, verbose=0)

    plain, ours = (trained(kind.fit, kind.evaluate, kind.predict) for kind in (keras.Model, tfp_glow.FlowModel))
    tf.nest.map_structure(np.testing.assert_array_equal, plain, ours)
    assert set(ours[0]) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}

    received = {}
    fit = keras.Model.fit

    @functools.wraps(fit)
    def spied(self, **given):
        received.update(given)
        return fit(self, **given)

    monkeypatch.setattr(keras.Model, "fit", spied)
    build(initialize=True).fit(PIXELS, batch_size=5, validation_data=(PIXELS[:6], None), validation_batch_size=3,
                               shuffle=False, verbose=0)
    batches, validation = received.pop("x"), received.pop("validation_data")
    assert received == {"shuffle": False, "verbose": 0}
    for dataset, size, number in ((batches, 5, 5), (validation, 3, 2)):
        assert not dataset.options().autotune.enabled and dataset.cardinality() == number
        np.testing.assert_array_equal(next(iter(dataset)), PIXELS[:size])


@pytest.mark.parametrize("share", [-0.5, 0.999, 1.0, 3])
def test_a_validation_split_leaves_events_for_both(plain, share):
    with pytest.raises(ValueError, match=rf"validation_split.*received {share} for 24 events"):
        plain.fit(PIXELS, validation_split=share, verbose=0)
