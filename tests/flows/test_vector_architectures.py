# SPDX-License-Identifier: Apache-2.0
"""Tests of the vector architectures of the papers: layers and parameter counts."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow import bijectors as tfgb


def num_trained(distribution):
    return sum(math.prod(v.shape) for v in distribution.trainable_variables)


@pytest.mark.parametrize(("partition", "kept", "changed"), [("halves", 2, 3), ("odd_even", 5, 5)])
def test_networks_of_realnvp_have_the_size_of_the_halves(partition, kept, changed):
    flow = tfp_glow.realnvp_vector(5, 2, (7,), partition=partition)
    kind = {"odd_even": "checkerboard", "halves": "channel"}[partition]
    _, *couplings = flow.bijector.bijectors
    assert [c.parameters["mask"] for c in couplings] == [kind, f"{kind}_reversed"]
    for coupling in couplings:
        kernels = [v.shape for v in coupling.network.trainable_variables if len(v.shape) == 2]
        assert kernels == [(kept, 7), (7, 2 * changed)]


# NICE: section 5.1 of the paper, for vectors with the size of MNIST's images.


def nice_size(size, inputs, depth, width, couplings=4):
    """Returns the number of trainable parameters of NICE.

    The dense layers of each coupling map `inputs` elements to `inputs` elements. The flow has one scale per element.
    """
    network = inputs * width + width + (depth - 1) * (width**2 + width) + width * inputs + inputs
    return couplings * network + size


@pytest.mark.parametrize(("partition", "inputs", "count"), [("odd_even", 784, 22_295_920), ("halves", 392, 19_158_352)])
def test_nice_for_mnist(partition, inputs, count):
    """Checks four couplings with five layers of 1,000 units. `odd_even` sets the changed half of the input to zero."""
    distribution = tfp_glow.nice(784, partition=partition)
    _, *couplings, scale = distribution.bijector.bijectors
    kind = {"odd_even": "checkerboard", "halves": "channel"}[partition]
    assert [c.parameters["mask"] for c in couplings] == [kind, f"{kind}_reversed"] * 2
    assert {c.network.hidden_sizes for c in couplings} == {(1000,) * 5}
    assert all(type(c) is tfgb.AdditiveCoupling for c in couplings) and type(scale) is tfgb.Scale
    assert distribution.bijector.inverse_event_shape((784,)) == (784,)
    assert num_trained(distribution) == nice_size(784, inputs, 5, 1000) == count


def test_nice_for_cifar10():
    """Checks four couplings with four layers of 2,000 units."""
    assert nice_size(3072, 3072, 4, 2000) == 97_199_360
    small = tfp_glow.nice(30, hidden_sizes=(20,) * 4)
    assert num_trained(small) == nice_size(30, 30, 4, 20)


def test_only_the_scale_of_nice_changes_volume():
    distribution = tfp_glow.nice(6, hidden_sizes=(7, 7))
    for variable in distribution.trainable_variables:
        variable.assign_add(tf.random.stateless_normal(variable.shape, (1, 2)))
    distribution.bijector.bijectors[-1].log_scale.assign(np.arange(6.0))
    np.testing.assert_allclose(distribution.bijector.forward_log_det_jacobian(tf.ones((1, 6))), 15.0, rtol=1e-6)
    assert isinstance(distribution.distribution.distribution, tfp.distributions.Logistic)


# MAF and IAF: section 4 of the MAF paper. Five networks have two hidden layers of 512 units each. The vectors have the
# size of BSDS300's patches.


def made_size(size, *hidden):
    """Returns the number of trainable parameters of a MADE with two outputs per element, including masked entries."""
    sizes = [size, *hidden, 2 * size]
    return sum(before * after + after for before, after in zip(sizes, sizes[1:], strict=False))


def test_maf_has_the_papers_layers():
    distribution = tfp_glow.maf(63)
    layer = [tfgb.MaskedAutoregressive, tfgb.BatchNorm, tfgb.ActNorm]
    expected = [tfgb.Standardize, *layer, *[tfgb.Reverse, *layer] * 4]
    assert [type(b) for b in distribution.bijector.bijectors] == expected
    assert num_trained(distribution) == 5 * (made_size(63, 512, 512) + 2 * 63) == 1_800_940


def test_iaf_is_maf_inverted():
    bijectors = tfp_glow.iaf(63, backprop="unrolled").bijector.bijectors
    layers = [b for b in bijectors if b.name.startswith("invert")]
    assert [type(b.bijector) for b in layers] == [tfgb.MaskedAutoregressive] * 5
    assert [type(b) for b in bijectors if b not in layers] == [tfgb.Standardize, *[tfgb.Reverse] * 4]
    assert num_trained(tfp_glow.iaf(63)) == 5 * made_size(63, 512, 512) == 1_800_310


def test_nsf_has_the_layers_and_parameters_of_the_paper():
    """RQ-NSF (C) for POWER: 10 steps, 2 blocks of width 256, 8 bins on [-3, 3]; 6 elements, of which 3 are kept."""
    flow = tfp_glow.nsf(6, 10, backprop="unrolled")
    step = [tfgb.InvertibleConv1x1, tfgb.Coupling, tfgb.Elementwise]
    assert [type(b) for b in flow.bijector.bijectors] == [tfgb.Standardize, *step * 10, tfgb.InvertibleConv1x1]
    network = 3 * 256 + 256 + 4 * (256**2 + 256) + 256 * 3 * 23 + 3 * 23
    assert num_trained(flow) == num_trained(tfp_glow.nsf(6)) == 10 * (network + 3 * 23 + 36) + 36
    first = flow.bijector.bijectors[1]
    x = first.inverse(np.arange(6.0)).numpy()
    assert sorted(x) == list(range(6)) and set(x[3:]) == {0.0, 1.0, 2.0}  # The kept elements are changed next.


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_nsf_starts_as_a_permutation(kind):
    for size, linear in ((2, "lu"), (5, "permutation")):
        x = np.random.RandomState(0).standard_normal((7, size)).astype("float32")
        latents = tfp_glow.nsf(size, 3, 8, kind=kind, linear=linear).bijector.inverse(x)
        np.testing.assert_allclose(np.sort(latents, axis=1), np.sort(x, axis=1), atol=1e-5)


def test_consecutive_layers_reverse_the_autoregressive_order():
    """A latent depends on earlier elements after one layer, and on all elements after two layers."""
    for layers, expected in ((1, np.tri(4, dtype=bool)), (2, np.ones((4, 4), bool))):
        distribution = tfp_glow.maf(4, layers, hidden_sizes=(16,), activation="tanh", batch_norm=False)
        rng = np.random.RandomState(0)
        for variable in distribution.trainable_variables:
            variable.assign(rng.standard_normal(variable.shape))
        x = tf.constant(rng.standard_normal((3, 4)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            latents = distribution.bijector.inverse(x)
        reached = np.any(tape.batch_jacobian(latents, x).numpy() != 0.0, axis=0)  # [latent, element]
        np.testing.assert_array_equal(reached, expected)
