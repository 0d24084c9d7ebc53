# SPDX-License-Identifier: Apache-2.0
"""Small versions of all flows, and events for them."""

import numpy as np

import tfp_glow

IMAGE = (4, 4, 2)

# Functions that build the small flows. Each accepts additional arguments of the flow.
SMALL_FLOWS = {
    "glow": lambda **k: tfp_glow.glow(IMAGE, num_levels=2, num_steps=2, width=6, **k),
    "glow_additive_shuffle": lambda **k: tfp_glow.glow(
        IMAGE, num_levels=1, num_steps=2, width=6, coupling="additive", permutation="shuffle", **k),
    "glow_dense": lambda **k: tfp_glow.glow(IMAGE, num_levels=1, num_steps=1, width=6, permutation="dense", **k),
    "glow_reverse": lambda **k: tfp_glow.glow(IMAGE, num_levels=1, num_steps=2, width=6, permutation="reverse", **k),
    "realnvp": lambda **k: tfp_glow.realnvp(IMAGE, num_scales=1, num_blocks=1, width=4, **k),
    "realnvp_without_batch_norm": lambda **k: tfp_glow.realnvp(
        IMAGE, num_scales=1, num_blocks=1, width=4, batch_norm=False, **k),
    "realnvp_vector": lambda **k: tfp_glow.realnvp_vector(
        5, num_couplings=3, hidden_sizes=(8,), partition="odd_even", batch_norm=True, **k),
    "nice": lambda **k: tfp_glow.nice(5, hidden_sizes=(8, 8), loc=1.0, scale=[1.0, 2.0, 3.0, 4.0, 5.0], **k),
    "nice_image": lambda **k: tfp_glow.nice(
        IMAGE, hidden_sizes=(8,), partition="halves", prior="normal", pixels="affine", **k),
    "maf": lambda **k: tfp_glow.maf(5, num_layers=2, hidden_sizes=(8, 8), act_norm=True, **k),
    "maf_image": lambda **k: tfp_glow.maf((2, 2, 2), num_layers=2, hidden_sizes=(8,), num_bits=5, **k),
    "maf_bounded": lambda **k: tfp_glow.maf(5, num_layers=2, hidden_sizes=(8,), log_scale="tanh", **k),
    "realnvp_vector_loop": lambda **k: tfp_glow.realnvp_vector(5, num_couplings=5, hidden_sizes=(8,), **k),
    "nsf": lambda **k: tfp_glow.nsf(5, num_steps=2, width=8, num_blocks=1, num_bins=4, **k),
    "nsf_autoregressive": lambda **k: tfp_glow.nsf(
        4, num_steps=2, width=8, num_blocks=1, num_bins=4, kind="autoregressive", linear="permutation", **k),
    "pyramid": lambda **k: tfp_glow.pyramid(
        IMAGE, num_levels=1, width=4, num_blocks=1, num_components=2, top_sizes=(8,), **k),
    "pyramid_couplings": lambda **k: tfp_glow.pyramid(
        IMAGE, num_levels=1, width=4, num_blocks=1, num_components=2, top_sizes=(8,), top="couplings",
        channels="shared", **k),
    "jet": lambda **k: tfp_glow.jet(IMAGE, patch_size=2, depth=6, block_depth=1, width=4, num_heads=2, **k),
    "iaf": lambda **k: tfp_glow.iaf(5, num_layers=2, hidden_sizes=(8,), batch_norm=True, **k),
}


def events(distribution, batch=6, seed=0):
    rng = np.random.RandomState(seed)
    if distribution.event_shape.rank == 3:
        return rng.randint(0, 32, (batch, *distribution.event_shape)).astype("uint8")
    return rng.standard_normal((batch, *distribution.event_shape)).astype("float32")


def moved(distribution):
    """Adds noise to trainable variables, so that zero-initialized layers have an effect. Returns the distribution."""
    rng = np.random.RandomState(0)
    for variable in distribution.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    return distribution
