# SPDX-License-Identifier: Apache-2.0
"""Tests of the pictures of samples that training writes."""

import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from trainers.callbacks.sample_pictures import SamplePictures
from trainers.runs.run_directory import RunDirectory

tfb, tfd = tfp.bijectors, tfp.distributions


def test_training_goes_on_if_samples_overflow(tmp_path):
    run = RunDirectory(tmp_path)
    run.samples.mkdir()
    scale = tf.Variable(1e3)
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), 2), tfb.Chain([tfb.Exp(), tfb.Scale(scale)]))
    model = tfp_glow.FlowModel(flow)
    model.compile("sgd")
    callback = SamplePictures(run, None, 1.0, seed=0)
    callback.set_model(model)
    with pytest.warns(UserWarning, match="no picture of samples after epoch 1. The forward pass .* not finite"):
        callback.on_epoch_end(0)
    assert not run.sample_path(1).exists()
    scale.assign(0.1)
    callback.on_epoch_end(1)
    assert run.sample_path(2).exists()
