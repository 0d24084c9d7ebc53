# SPDX-License-Identifier: Apache-2.0
"""Each example runs, with small settings, and shows what it promises."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from examples import conditional_density, learned_prior, mixture, neutra_hmc, ood_scores, variational_posterior

tfd = tfp.distributions


def test_a_flow_beats_the_mean_field_posterior():
    elbos = variational_posterior.main(num_steps=250, sample_size=32)
    assert elbos["mean field"] < -0.5
    assert elbos["mean field"] + 0.2 < elbos["flow"] < 0.05


def test_hmc_runs_through_a_flow():
    efficiency = neutra_hmc.main(num_steps=150, num_results=60)
    assert set(efficiency) == {"NeuTra", "plain HMC"} and all(0.0 < value < 2.0 for value in efficiency.values())


def test_a_context_makes_points_likelier():
    losses = conditional_density.main(num_steps=200, number=2048)
    assert losses["true context"] < losses["shuffled context"] - 0.1


def test_a_learned_prior_raises_the_evidence():
    bounds, (z, x) = learned_prior.main(num_steps=150, number=1024)
    assert bounds["after"] > bounds["before"] + 0.3
    assert z.shape == x.shape == (1000, 2)


def test_two_flows_are_likelier_than_one():
    losses, weights = mixture.main(epochs=15, number=4096)
    assert losses["mixture"] < losses["one flow"]
    np.testing.assert_allclose(weights, [0.75, 0.25], atol=0.1)


def test_flow_model_trains_what_the_mixture_lists():
    model = tfp_glow.FlowModel(mixture.mixture_of_two())
    trained = [id(v.value) for v in model.trainable_variables]
    assert len(trained) == len(set(trained)) == len(model.distribution.trainable_variables)
    assert set(trained) == {id(v) for v in model.distribution.trainable_variables}


def test_flows_have_no_batch_for_a_mixture_of_the_same_family():
    with pytest.raises(ValueError):
        tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros(2)), mixture.flow(0.0, seed=0), validate_args=True)


def test_noise_is_told_from_digits():
    outliers = np.random.RandomState(0).randint(0, 17, (200, 8, 8, 1)).astype("uint8")
    areas = ood_scores.main(outliers, epochs=2)
    assert areas["bits"] > 0.95 and areas["distance"] > 0.9
