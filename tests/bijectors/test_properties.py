# SPDX-License-Identifier: Apache-2.0
"""Property tests with random shapes, masks, seeds and dtypes: round trips, log-determinants and compositions.

The suite always runs the same 25 examples of each property. Renaming a test changes them. To run 500 new examples:

    HYPOTHESIS_PROFILE=thorough python -m pytest tests/bijectors/test_properties.py
"""

import dataclasses
import os

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_flows import log_det_by_autodiff

from tfp_glow import bijectors as tfgb
from tfp_glow.bijectors.masks import MASKS, make_mask
from tfp_glow.networks import MLP, ConvNet
from tfp_glow.transforms import Additive, Affine

settings.register_profile("suite", max_examples=25, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

vectors = st.tuples(st.integers(2, 6))
images = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
batches = st.lists(st.integers(1, 3), max_size=2).map(tuple)
seeds = st.integers(0, 2**31 - 1)
dtypes = st.sampled_from(["float32", "float64"])

TRANSFORMS = {"additive": Additive, **{s: lambda s=s: Affine(s) for s in ("exp", "sigmoid", "tanh")}}
SIMPLE = {
    "act_norm": tfgb.ActNorm, "batch_norm": tfgb.BatchNorm, "invertible_conv": tfgb.InvertibleConv1x1,
    "dense_conv": tfgb.DenseConv1x1, "shuffle": tfgb.Shuffle, "reverse": tfgb.Reverse, "scale": tfgb.Scale}


def network(kept_shape, outputs, dtype):
    return MLP(outputs, (4,), "tanh", dtype=dtype) if len(kept_shape) == 1 else ConvNet(3, outputs, dtype=dtype)


def coupling(shape, mask_name, transform_name, dtype):
    transform, mask = TRANSFORMS[transform_name](), make_mask(mask_name, shape)
    conditioner = network(mask.kept_shape, transform.num_parameters * mask.num_changed, dtype)
    return tfgb.Coupling(shape, conditioner, transform, mask_name, dtype=dtype)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Constructor arguments of a bijector. Hypothesis prints them if a test fails."""

    kind: str
    shape: tuple
    dtype: str
    seed: int
    option: str | tuple = ()

    def __call__(self):
        """Returns a new bijector with weights away from their initial values."""
        keras.utils.set_random_seed(self.seed)
        if self.kind == "coupling":
            bijector = coupling(self.shape, *self.option, self.dtype)
        elif self.kind == "squeeze":
            bijector = tfgb.Squeeze(self.shape, order=self.option, dtype=self.dtype)
        else:
            bijector = SIMPLE[self.kind](self.shape, dtype=self.dtype)
        rng = np.random.RandomState(self.seed)
        for variable in bijector.trainable_variables:
            variable.assign_add(0.1 * rng.standard_normal(variable.shape))
        return bijector


@st.composite
def recipes(draw, dtypes=dtypes, shapes=None, squeeze=True):
    """Draws a recipe of any kind that the shape allows. About half of the recipes are couplings."""
    shape = draw(st.one_of(vectors, images) if shapes is None else shapes)
    others = sorted(SIMPLE)
    if squeeze and len(shape) == 3 and shape[0] % 2 == 0 and shape[1] % 2 == 0:
        others.append("squeeze")
    masks = [m for m in MASKS if (shape[-1] if m.startswith("channel") else max(shape[:-1] or shape)) > 1
             and m != "pixel"]  # Its parts are no images, which the networks here require.
    kind = "coupling" if masks and draw(st.booleans()) else draw(st.sampled_from(others))
    option = ()
    if kind == "coupling":
        option = (draw(st.sampled_from(masks)), draw(st.sampled_from(sorted(TRANSFORMS))))
    elif kind == "squeeze":
        option = draw(st.sampled_from(["channel_major", "space_to_depth"]))
    return Recipe(kind, shape, draw(dtypes), draw(seeds), option)


def lists_of_recipes(shape):
    return st.lists(recipes(st.just("float64"), st.just(shape), squeeze=False), min_size=2, max_size=3)


small = st.one_of(vectors, st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 3)))


def data(bijector, batch, seed):
    shape = (*batch, *bijector.event_shape)
    return tf.constant(np.random.RandomState(seed).standard_normal(shape), bijector.dtype)


def tolerance(bijector):
    return 1e-4 if bijector.dtype == tf.float32 else 1e-10


@given(recipes(), batches, seeds)
def test_inverse_and_forward_undo_each_other(recipe, batch, seed):
    bijector = recipe()
    y = data(bijector, batch, seed)
    x, ildj = bijector.inverse_and_log_det(y)
    back, fldj = bijector.forward_and_log_det(x)
    assert x.shape == (*batch, *bijector.latent_shape) and x.dtype == ildj.dtype == bijector.dtype
    assert ildj.shape == fldj.shape == batch
    np.testing.assert_allclose(back, y, atol=tolerance(bijector), rtol=tolerance(bijector))
    np.testing.assert_allclose(fldj, -ildj, atol=tolerance(bijector), rtol=tolerance(bijector))


@given(recipes(dtypes=st.just("float64")), seeds)
def test_log_det_is_that_of_the_jacobian(recipe, seed):
    bijector = recipe()
    y = data(bijector, (2,), seed)
    _, log_det = bijector.inverse_and_log_det(y)
    expected = log_det_by_autodiff(lambda v: bijector.inverse_and_log_det(v)[0], y)
    np.testing.assert_allclose(log_det, expected, atol=1e-8)


@given(recipes(dtypes=st.just("float64")), batches, seeds)
def test_a_batch_is_its_events(recipe, batch, seed):
    bijector = recipe()
    y = data(bijector, (2, *batch), seed)
    both = bijector.inverse_and_log_det(y)
    for index in range(2):
        for whole, one in zip(both, bijector.inverse_and_log_det(y[index]), strict=True):
            np.testing.assert_allclose(whole[index], one, atol=1e-10)


@given(small.flatmap(lists_of_recipes), seeds)
def test_log_dets_of_steps_add_up(recipes, seed):
    parts = [recipe() for recipe in recipes]
    whole = tfgb.Steps(parts)
    value = y = data(whole, (2,), seed)
    total = 0.0
    for part in parts:
        value, log_det = part.inverse_and_log_det(value)
        total += log_det
    x, ildj = whole.inverse_and_log_det(y)
    np.testing.assert_allclose(x, value, atol=1e-8)
    np.testing.assert_allclose(ildj, total, atol=1e-8)


@given(st.integers(2, 5), st.integers(1, 3), seeds, dtypes)
def test_a_context_is_part_of_the_map(size, context_size, seed, dtype):
    keras.utils.set_random_seed(seed)
    net = MLP(2 * (size - size // 2), (4,), "tanh", dtype=dtype)
    bijector = tfgb.AffineCoupling((size,), net, scale="tanh", context_shape=context_size, dtype=dtype)
    rng = np.random.RandomState(seed)
    for variable in bijector.trainable_variables:
        variable.assign_add(rng.standard_normal(variable.shape))
    y, context = data(bijector, (3,), seed), tf.constant(rng.standard_normal((3, context_size)), dtype)
    x, ildj = bijector.inverse_and_log_det(y, context=context)
    back, fldj = bijector.forward_and_log_det(x, context=context)
    np.testing.assert_allclose(back, y, atol=tolerance(bijector), rtol=tolerance(bijector))
    np.testing.assert_allclose(fldj, -ildj, atol=tolerance(bijector), rtol=tolerance(bijector))
