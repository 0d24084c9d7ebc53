# SPDX-License-Identifier: Apache-2.0
"""Each program in examples/ runs with small settings and shows its documented effect."""

import keras
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


def test_an_encoder_and_a_conditional_flow_train_in_one_fit(tmp_path):
    losses = conditional_density.main(epochs=12, number=2048)
    assert losses["true signals"] < losses["shuffled signals"] - 0.1
    x, y = conditional_density.draw(8, seed=0)
    model = conditional_density.ConditionalDensity()
    model.compile("adam")
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit((x, y), epochs=3, verbose=0)  # In the first step, the last layers are 0 and pass no gradients on.
    assert all(np.any(v.numpy() != b) for v, b in zip(model.trainable_variables, before, strict=True))
    assert {id(v.value) for v in model.trainable_variables} >= {id(v) for v in model.flow.trainable_variables}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded.predict((x, y), verbose=0), model.predict((x, y), verbose=0))
    assert loaded.sample(x).shape == (8, 2)


def test_a_learned_prior_raises_the_evidence():
    bounds, (z, x) = learned_prior.main(num_steps=150, number=1024)
    assert bounds["after"] > bounds["before"] + 0.3
    assert z.shape == x.shape == (1000, 2)


def test_a_mixture_of_two_flows_has_a_lower_loss_than_one_flow():
    losses, weights = mixture.main(epochs=15, number=4096)
    assert losses["mixture"] < losses["one flow"]
    np.testing.assert_allclose(weights, [0.75, 0.25], atol=0.1)


def test_flow_model_trains_all_variables_of_the_mixture():
    model = tfp_glow.FlowModel(mixture.mixture_of_two())
    trained = [id(v.value) for v in model.trainable_variables]
    assert len(trained) == len(set(trained)) == len(model.distribution.trainable_variables)
    assert set(trained) == {id(v) for v in model.distribution.trainable_variables}


def test_mixture_same_family_rejects_flows():
    with pytest.raises(ValueError):
        tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros(2)), mixture.flow(0.0, seed=0), validate_args=True)


def test_scores_separate_noise_from_digits():
    outliers = np.random.RandomState(0).randint(0, 17, (200, 8, 8, 1)).astype("uint8")
    photographs = ood_scores.crops(ood_scores.images_of(None), number=3)
    assert photographs.shape == (3, 8, 8, 1) and 0 < photographs.max() <= 16
    areas = ood_scores.main(outliers, epochs=2)
    assert areas["bits"] > 0.95 and areas["distance"] > 0.9
