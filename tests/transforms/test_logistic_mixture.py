# SPDX-License-Identifier: Apache-2.0
"""Tests of the elementwise transform `LogisticMixture` and of `tfp_glow.pyramid`, which uses it."""

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.flows import config_from_dict, config_of, config_to_dict
from tfp_glow.flows._config import config_from_file
from tfp_glow.flows.pyramid import _diagonal_first, _neighbor_mean
from tfp_glow.networks import MADE, MLP, PixelHead, PixelInputs, PlacedResNet
from trainers import presets


@pytest.fixture(scope="module", params=[{}, {"top": "couplings", "channels": "shared"}], ids=["default", "couplings"])
def flow(request):
    """A pyramid of two levels and a top, with weights away from their initial values."""
    flow = tfp_glow.pyramid((8, 8, 2), num_levels=2, width=(6, 8), num_blocks=1, num_components=2, top_sizes=(8,),
                            num_bits=4, seed=0, **request.param)
    rng = np.random.RandomState(0)
    for variable in flow.trainable_variables:
        variable.assign_add(0.2 * rng.standard_normal(variable.shape))
    return flow


def images(number, num_bits=4, shape=(8, 8, 2)):
    rng = np.random.RandomState(1)
    levels = rng.randint(0, 2**num_bits, (number, *shape)) * (rng.random((number, *shape)) < 0.6)
    return tf.constant(levels + rng.random(levels.shape), tf.float32)


def reference(y, raw, size, num_bits):
    """Returns the latent of `y` and the log-determinant of the inverse, computed with NumPy in float64.

    The CDF of the mixture is set to 0 and 1 at the ends of the range. A uniform distribution has weight 1e-4.
    """
    logits, mean, log_scale = np.split(np.asarray(raw, "float64"), 3, axis=-1)
    weights = np.exp(logits) / np.exp(logits).sum()
    levels = 2**num_bits
    mean = mean * levels / 4 + (np.arange(size) + 0.5) * levels / size
    scale = 0.1 * (1.0 + np.exp(log_scale) * 5.0 * levels / size)

    def below(edge):
        if edge <= 0 or edge >= levels:
            return float(edge >= levels)
        return (1 - 1e-4) * (weights / (1 + np.exp(-(edge - mean) / scale))).sum() + 1e-4 * edge / levels

    level = np.floor(y)
    mass = below(level + 1) - below(level)
    x = scipy.stats.norm.ppf(below(level) + (y - level) * mass)
    return x, np.log(mass) - scipy.stats.norm.logpdf(x)


@pytest.mark.parametrize("num_bits", [1, 3, 8])
def test_matches_numpy_in_float64(num_bits):
    mixture, rng = tfgb.LogisticMixture(3, num_bits), np.random.RandomState(0)
    for y in rng.random(8) * 2**num_bits:
        raw = rng.standard_normal(9)
        x, log_det = mixture.inverse(tf.constant([y]), tf.constant(raw))
        expected = reference(y, raw, 3, num_bits)
        np.testing.assert_allclose([x[0], log_det[0]], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_all_gray_levels_sum_to_one(dtype):
    mixture = tfgb.LogisticMixture(2, 8)
    y = tf.reshape(tf.range(256, dtype=dtype), (256, 1)) + 0.5
    for raw in ([0.0] * 6, [5.0, -5.0, -3.0, 3.0, -20.0, -20.0], [0.0, 0.0, -90.0, 90.0, 9.0, -9.0]):
        x, log_det = mixture.inverse(y, tf.broadcast_to(tf.constant(raw, dtype), (256, 6)))
        probabilities = tf.exp(log_det - 0.5 * tf.square(x) - 0.5 * math.log(2.0 * math.pi))
        np.testing.assert_allclose(tf.reduce_sum(probabilities), 1.0, rtol=1e-4)
        assert np.all(np.isfinite(x)) and np.all(np.diff(x[:, 0]) > 0.0)


def test_results_are_finite_at_both_ends_of_the_range_and_nan_outside():
    mixture = tfgb.LogisticMixture(2, 8)
    x, log_det = mixture.inverse(tf.constant([0.0, 255.99998, -1.0, 257.0]), tf.zeros(24))
    assert np.all(np.isfinite(x[:2])) and np.all(np.isfinite(log_det[:2])) and np.all(np.isnan(x[2:]))


def test_the_upper_end_of_the_range_counts_as_white():
    mixture = tfgb.LogisticMixture(2, 8)
    x, log_det = mixture.inverse(tf.constant([255.5, 256.0]), tf.zeros(12))
    log_prob = log_det - 0.5 * tf.square(x)
    np.testing.assert_allclose(log_prob[0], log_prob[1], rtol=1e-5)


def test_noise_within_gray_levels_does_not_change_densities(flow):
    y = images(3)
    other = tf.floor(y) + tf.random.stateless_uniform(y.shape, (1, 2))
    np.testing.assert_allclose(flow.log_prob(y), flow.log_prob(other), rtol=1e-5)
    assert np.any(np.abs(flow.bijector.inverse(y) - flow.bijector.inverse(other)) > 0.1)


def test_pyramid_round_trip(flow):
    y = images(3)
    latents = flow.bijector.inverse(y)
    np.testing.assert_allclose(flow.bijector.forward(tf.identity(latents)), y, atol=2e-3)
    np.testing.assert_allclose(flow.bijector.forward_log_det_jacobian(tf.identity(latents), 1),
                               -flow.bijector.inverse_log_det_jacobian(tf.identity(y), 3), rtol=1e-4)
    samples = flow.sample(5, seed=(0, 1))
    assert np.all(samples >= 0.0) and np.all(samples < 16.0)


def test_pixels_depend_only_on_earlier_pixels(flow):
    """Changing the last value of a block changes one latent. Changing the first value changes later latents too."""
    y = images(1).numpy()
    latents = flow.bijector.inverse(y).numpy()
    last = y.copy()
    last[0, 1, 0, 1] = (last[0, 1, 0, 1] + 5.0) % 16.0  # Row 1 and column 0 of a block, last channel.
    assert np.sum(flow.bijector.inverse(last).numpy() != latents) == 1
    first = y.copy()
    first[0, 0, 0, 0] = (first[0, 0, 0, 0] + 5.0) % 16.0
    assert np.sum(flow.bijector.inverse(first).numpy() != latents) > 20


def test_a_top_of_couplings_refines_one_value_step_by_step():
    """A change of a value of the top changes its latent and those of later groups, and no other of the top."""
    flow = tfp_glow.pyramid((6, 6, 2), num_levels=1, width=4, num_blocks=1, num_components=2, top_sizes=(8,),
                            num_bits=4, seed=0, top="couplings")
    rng = np.random.RandomState(0)
    for variable in flow.trainable_variables:
        variable.assign_add(0.5 * rng.standard_normal(variable.shape))
    # Pixels of the top of 3x3 pixels by step: one value, then 2x2 pixels, then 3x3.
    steps = [[(0, 0)], [(2, 2)], [(0, 2)], [(2, 0)], [(1, 1)], [(0, 1), (2, 1)], [(1, 0), (1, 2)]]
    groups = [[(*pixel, channel) for pixel in step] for step in steps for channel in range(2)]
    values = [(value, index) for index, group in enumerate(groups) for value in group]
    y = images(1, shape=(6, 6, 2)).numpy()

    def latents_of_top(y):
        return flow.bijector.inverse(y).numpy()[0, -18:]

    for place, ((row, column, channel), group) in enumerate(values):
        changed = y.copy()
        changed[0, 2 * row, 2 * column, channel] = (changed[0, 2 * row, 2 * column, channel] + 5.0) % 16.0
        moved = latents_of_top(changed) != latents_of_top(y)
        later = np.array([other > group for _, other in values])
        assert moved[place] and not np.any(moved & ~later & (np.arange(18) != place))
        assert np.any(moved & later) or not np.any(later)


def test_inverse_returns_the_latents_of_samples(flow):
    z = tf.random.stateless_normal((4, 128), (3, 4))
    np.testing.assert_allclose(flow.bijector.inverse(flow.bijector.forward(z)), z, atol=5e-2)


@pytest.mark.parametrize(("arguments", "in_sampling"), [({}, 2), ({"top": "couplings"}, 1)])
def test_couplings_evaluate_each_network_once_in_both_directions(arguments, in_sampling, monkeypatch):
    """The network of an autoregressive top of two values is evaluated twice for samples."""
    flow = tfp_glow.pyramid((2, 2, 2), 1, 4, 1, top_sizes=(4,), channels="shared", seed=0, **arguments)
    calls: dict = {}
    for kind in (MADE, MLP, PlacedResNet, PixelHead):
        def counted(self, *inputs, call=kind.call):
            calls[self] = calls.get(self, 0) + 1
            return call(self, *inputs)
        monkeypatch.setattr(kind, "call", counted)
    flow.log_prob(tf.fill((3, 2, 2, 2), 7.5))
    # Three networks with two heads each, and one of the top.
    assert len(calls) == 10 and set(calls.values()) == {1}
    calls.clear()
    flow.sample(3)
    assert sorted(calls.values()) == [*[1] * 9, in_sampling]


def test_heads_read_whole_gray_levels_in_half_precision():
    """Half precision would round 254.7 to 255. The head adds a convolution of the earlier channels to the features."""
    head = PixelHead(3, dtype="mixed_bfloat16", seed=0)
    kept, features = np.full((1, 4, 4, 2), 254.2, "float32"), np.full((1, 4, 4, 8), 0.5, "float32")
    assert not np.any(head([kept, features]))
    head.conv_out.kernel.assign(np.random.RandomState(0).standard_normal(head.conv_out.kernel.shape))
    np.testing.assert_array_equal(head([kept, features]), head([kept + 0.5, features]))
    assert np.any(head([kept, features]) != head([kept + 1.0, features]))
    hidden = np.maximum(features + head.conv_kept(2.0 * np.floor(kept) / 255.0 - 1.0), 0.0)
    np.testing.assert_allclose(head([kept, features]), hidden @ head.conv_out.kernel.numpy()[0, 0], atol=1e-2)


def test_channels_may_share_a_network():
    """With one channel, shared and separate networks are the same function; with three, the shared one is smaller."""
    def built(number, **arguments):
        return tfp_glow.pyramid((4, 4, number), 1, 4, 1, top_sizes=(4,), seed=0, **arguments)

    y = np.random.RandomState(0).randint(0, 256, (2, 4, 4, 1)) + 0.5
    np.testing.assert_allclose(built(1).log_prob(y), built(1, channels="shared").log_prob(y), rtol=1e-6)
    assert 2 * len(built(3, channels="shared").trainable_variables) < 3 * len(built(3).trainable_variables)


def test_linear_paths_read_exact_values_in_half_precision():
    """With all other weights at zero, the output is a convolution of values that half precision would round."""
    rng = np.random.RandomState(0)
    x, h = rng.uniform(-1.0, 1.0, (1, 4, 4, 2)).astype("float32"), rng.standard_normal((1, 4, 4, 8)).astype("float32")
    network = PlacedResNet(4, 3, 1, skip=True, dtype="mixed_bfloat16", seed=0)
    assert not np.any(network(x))
    kernel = rng.standard_normal(network.conv_skip.kernel.shape).astype("float32")
    network.conv_skip.kernel.assign(kernel)
    np.testing.assert_allclose(network(x), tf.nn.conv2d(x, kernel, 1, "SAME"), atol=1e-6)
    head = PixelHead(3, skip=True, dtype="mixed_bfloat16", seed=0)
    kept = 127.5 * (x + 1.0)
    assert not np.any(head([kept, h]))
    head.conv_skip.kernel.assign(kernel)
    expected = tf.nn.conv2d(2.0 * np.floor(kept) / 255.0 - 1.0, kernel, 1, "SAME")
    np.testing.assert_allclose(head([kept, h]), expected, atol=1e-5)


@pytest.mark.parametrize("colors", [1, 3])
def test_neighbors_predict_a_color_gradient(colors):
    """Away from the border, the prediction of each new pixel of a gradient is exact."""
    row, column, color = np.indices((12, 12, colors))
    image = (3.0 * row - 2.0 * column + 20.0 * color + 90.0).astype("float32")[np.newaxis]
    squeezed = tfgb.Squeeze((12, 12, colors), order="space_to_depth").inverse(image)
    channels = tf.gather(squeezed, _diagonal_first(colors), axis=-1)
    for channel in range(colors, 4 * colors):
        kernel = _neighbor_mean(channel, colors)[..., np.newaxis]
        predicted = tf.nn.conv2d(channels[..., :channel], kernel.astype("float32"), 1, "SAME")
        np.testing.assert_allclose(predicted[0, 1:-1, 1:-1, 0], channels[0, 1:-1, 1:-1, channel], atol=1e-4)


@pytest.mark.parametrize("channels", ["separate", "shared"])
def test_a_new_pyramid_expects_pixels_like_their_neighbors(channels):
    """One pixel in middle gray makes a dark image less likely: its mixture is around the dark gray."""
    flow = tfp_glow.pyramid((8, 8, 3), 1, 4, 1, top_sizes=(4,), scale=2.0, channels=channels, seed=0)
    y = np.full((4, 8, 8, 3), 90.5, "float32")
    for image, (i, j) in enumerate(((3, 3), (2, 3), (3, 2)), start=1):
        y[image, i, j] = 127.5
    plain, *others = flow.log_prob(y).numpy()
    assert max(others) < plain - 10.0  # Without neighbors, middle gray would be more likely than gray level 90.


@pytest.mark.parametrize("bits", [5, 12, 16])
def test_the_scale_grows_with_the_number_of_gray_levels(bits):
    """The density of an image with values in [0, 1] is the same at the start, for every number of bits."""
    y = np.random.RandomState(0).uniform(size=(2, 8, 8, 1)).astype("float32")
    y = 0.4 + 0.2 * (np.floor(y * 8) + 0.5) / 8
    eight, other = (tfp_glow.pyramid((8, 8, 1), 1, 4, 1, top_sizes=(4,), num_bits=n, seed=0).log_prob(y * 2**n)
                    + 64 * n * math.log(2) for n in (8, bits))
    np.testing.assert_allclose(other, eight, atol=4.0 if bits < 8 else 1.0)


def test_without_a_linear_path_means_start_over_all_gray_levels():
    gray = np.full((1, 8, 8, 1), 90.5, "float32")
    first, second, near = (tfp_glow.pyramid((8, 8, 1), 1, 4, 1, top_sizes=(4,), seed=0, **arguments).log_prob(gray)
                           for arguments in ({"skip": False}, {"scale": None}, {}))
    np.testing.assert_allclose(first, second)
    assert near > first + 20.0  # Neighbors of one gray level predict it.


def test_the_scale_is_the_unit_of_means_and_their_first_distance():
    """Means of 3 components around 128, 3 gray levels apart; an output of 1 moves them by 6 gray levels."""
    mixture = tfgb.LogisticMixture(3, 8, scale=6.0)
    weights, mean, inverse_scale = (part.numpy() for part in mixture._components(tf.zeros((1, 9))))
    np.testing.assert_allclose(mean[0, :, 0], [125.0, 128.0, 131.0])
    np.testing.assert_allclose(inverse_scale, np.full((1, 3, 1), 1.0 / 6.0), rtol=1e-5)
    np.testing.assert_allclose(mixture._components(tf.ones((1, 9)))[1], mean + 6.0)
    raw = mixture.raw_of_shift(np.array([[5.0], [-2.0]]))
    shifted = mixture._components(tf.constant(raw.reshape(2, 9)))
    np.testing.assert_allclose(shifted[1].numpy()[..., 0], [[130.0, 133.0, 136.0], [123.0, 126.0, 129.0]])
    np.testing.assert_allclose(shifted[2].numpy(), np.broadcast_to(inverse_scale, (2, 3, 1)))
    _, mean, inverse_scale = tfgb.LogisticMixture(5, 8)._components(tf.zeros((1, 15)))
    np.testing.assert_allclose(mean[0, :, 0], [25.6, 76.8, 128.0, 179.2, 230.4])
    np.testing.assert_allclose(inverse_scale[0, :, 0], np.full(5, 1.0 / 25.7), rtol=1e-5)


def test_a_pyramid_of_an_earlier_version_has_no_linear_path_and_means_over_all_gray_levels():
    now = config_of(tfp_glow.pyramid((4, 4, 1), 1, 4, 1, top_sizes=(4,), seed=0))
    before = {name: value for name, value in config_to_dict(now).items() if name not in ("skip", "scale")}
    flow, new = config_from_file(before).build(), now.build()
    assert len(new.trainable_variables) == len(flow.trainable_variables) + 3
    y = np.full((1, 4, 4, 1), 3.5, "float32")
    # All networks start at 0: 16 values of a mixture with means 25.6, 76.8, ... and scales 25.7.
    cdf = np.mean(1.0 / (1.0 + np.exp(-(np.array([[4.0], [3.0]]) - 51.2 * (np.arange(5) + 0.5)) / 25.7)), axis=1)
    expected = 16 * np.log((1.0 - 1e-4) * (cdf[0] - cdf[1]) + 1e-4 / 256)
    np.testing.assert_allclose(flow.log_prob(y), [expected], rtol=1e-5)


def test_training_learns_a_constant_image():
    """After training on copies of one image, the bits per dimension of this image are near 0."""
    flow = tfp_glow.pyramid((4, 4, 1), num_levels=1, width=8, num_blocks=1, num_components=2, top_sizes=(8,),
                            num_bits=2, seed=0)
    model = tfp_glow.FlowModel(flow)
    x = np.tile(np.arange(16).reshape(1, 4, 4, 1) % 4, (64, 1, 1, 1)).astype("uint8")
    model.compile("adam")
    model.optimizer.learning_rate = 0.03
    before = model.bits_per_dim(x[:4]).numpy().mean()
    model.fit(x, epochs=40, batch_size=32, verbose=0)
    assert model.bits_per_dim(x[:4]).numpy().mean() < 0.2 < 1.0 < before


def test_wrong_arguments_raise():
    mixture = tfgb.LogisticMixture()
    with pytest.raises(ValueError, match="num_components.*received 0"):
        tfgb.LogisticMixture(0)
    with pytest.raises(ValueError, match="scale.*above 0.1.*received nan"):
        tfgb.LogisticMixture(scale=math.nan)
    with pytest.raises(ValueError, match="num_bits.*received 17"):
        tfgb.LogisticMixture(num_bits=17)
    with pytest.raises(ValueError, match="networks.*3 groups"):
        tfgb.ChannelAutoregressive((4, 4, 4), [PlacedResNet(4, 15, 1)], mixture, num_kept=1)
    networks = [PlacedResNet(4, 30, 1)]
    with pytest.raises(ValueError, match=r"group_sizes.*received \(2,\) for 4 channels"):
        tfgb.ChannelAutoregressive((4, 4, 4), networks, mixture, num_kept=1, group_sizes=(2,))
    with pytest.raises(ValueError, match="num_kept=4"):
        tfgb.ChannelAutoregressive((4, 4, 4), networks, mixture, num_kept=4)
    for wrong in ([], [[]], [[PixelHead(15)] * 3, []]):
        with pytest.raises(ValueError, match="heads.*1 networks"):
            tfgb.PixelAutoregressive((4, 4, 4), networks, wrong, mixture, num_kept=1)
    with pytest.raises(ValueError, match="heads.*3 of 4; received 1"):
        tfgb.PixelAutoregressive((4, 4, 4), networks, [[PixelHead(15)]], mixture, num_kept=1)
    with pytest.raises(ValueError, match="networks.*received"):
        tfgb.PixelAutoregressive((4, 4, 4), networks[0], [[PixelHead(15)] * 3], mixture, num_kept=1)
    with pytest.raises(ValueError, match="outputs of shape"):
        tfgb.ChannelAutoregressive((4, 4, 2), [PlacedResNet(4, 14, 1)], mixture, num_kept=1)
    with pytest.raises(ValueError, match="transform.*elementwise transform"):
        tfgb.ChannelAutoregressive((4, 4, 2), [PlacedResNet(4, 14, 1)], tfgb.LogisticMixture, num_kept=1)
    with pytest.raises(ValueError, match="num_kept.*received 2"):
        tfgb.Multiscale(tfgb.ActNorm((2, 2, 2)), tfgb.Multiscale(tfgb.ActNorm((2, 2, 2))), num_kept=2)
    with pytest.raises(ValueError, match="skip.*without an output layer"):
        PlacedResNet(4, None, 1, skip=True)
    with pytest.raises(ValueError, match="second_kernel.*received 2"):
        PlacedResNet(4, 4, 1, second_kernel=2)
    with pytest.raises(ValueError, match="mark_black.*received 3"):
        PixelInputs(mark_black=3)
    for wrong, message in (({"image_shape": (6, 8, 1)}, "divisible by"), ({"width": (8,)}, "one integer per level"),
                           ({"width": 0}, "width"), ({"num_blocks": (1, 2, 3)}, "num_blocks"),
                           ({"top_sizes": 8}, "top_sizes"), ({"activation": "no"}, "activation"),
                           ({"num_levels": 0}, "num_levels"),
                           ({"top": "serial"}, "top"), ({"channels": "none"}, "channels"),
                           ({"skip": 1}, "skip"), ({"scale": 0.0}, "scale.*received 0.0"),
                           ({"second_kernel": 5}, "second_kernel")):
        with pytest.raises(ValueError, match=message):
            tfp_glow.pyramid(**{"image_shape": (8, 8, 1), **wrong})


def test_parameter_count_of_the_best_preset():
    """Compares the number of trainable parameters with a formula."""
    def network(k, width, side, blocks=3):
        """Counts the convolutions, position embedding and output layer of a network with `k` input channels."""
        return (9 * 2 * k * width + width + side**2 * width + blocks * (9 * width**2 + width + width**2 + width)
                + 15 * width + 15)

    top = 49 * 256 + 256 + 256 * 256 + 256 + 256 * 49 * 15 + 49 * 15
    expected = sum(network(k, 64, 14) + network(k, 96, 7) for k in (1, 2, 3)) + top
    assert expected == 1_545_241
    flow = config_from_dict({**presets.get("fashion_mnist_best").flow, "image_shape": (28, 28, 1)}).build()
    assert sum(math.prod(v.shape) for v in flow.trainable_variables) == expected
