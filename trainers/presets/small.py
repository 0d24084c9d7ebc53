# SPDX-License-Identifier: Apache-2.0
"""Presets for scikit-learn's digits, which train in minutes on two CPU cores, and for Fashion-MNIST and CIFAR-10."""

from typing import Any

from .preset import Preset

# The digits have only 1,350 training images. Without pixel noise, the bits per dimension of the validation split rise
# after about 30 epochs. A smaller network reduces this overfitting less than the noise does. All presets of the digits
# have the same batch size, epochs, learning rate and noise, so that their results are comparable.
_BUDGET: dict[str, Any] = {"batch_size": 64, "epochs": 100, "optimizer": "adam", "learning_rate": 1e-3,
                           "schedule": "cosine", "pixel_noise": 0.05}

# Flows with batch normalization (RealNVP and MAF) train without a moving average of the weights, because the running
# statistics match the last weights and not their average.
DIGITS = {
    "digits_glow": Preset(
        {"flow": "glow", "num_levels": 2, "num_steps": 16, "width": 64, "scale": "tanh"}, **_BUDGET,
        ema_momentum=0.99),
    "digits_realnvp": Preset(
        {"flow": "realnvp", "num_scales": 2, "num_blocks": 2, "width": 32}, **_BUDGET),
    # The next two presets are the first two, conditioned on the class of the digit. The value of weight_y is from the
    # commands of the published Glow code.
    "digits_glow_classes": Preset(
        {"flow": "glow", "num_levels": 2, "num_steps": 16, "width": 64, "scale": "tanh"}, **_BUDGET,
        ema_momentum=0.99, class_conditional=True, weight_y=0.01),
    "digits_realnvp_classes": Preset(
        {"flow": "realnvp", "num_scales": 2, "num_blocks": 2, "width": 32}, **_BUDGET, class_conditional=True),
    "digits_nice": Preset(
        {"flow": "nice", "num_couplings": 8, "hidden_sizes": (256, 256), "pixels": "logit", "act_norm": True},
        **_BUDGET, ema_momentum=0.99),
    "digits_maf": Preset(
        {"flow": "maf", "num_layers": 5, "hidden_sizes": (256, 256), "pixels": "logit", "act_norm": True}, **_BUDGET),
    # IAF computes the density of an image pixel by pixel, so this preset trains slowest.
    "digits_iaf": Preset(
        {"flow": "iaf", "num_layers": 3, "hidden_sizes": (128, 128), "pixels": "logit", "act_norm": True}, **_BUDGET,
        ema_momentum=0.99),
}

FASHION_MNIST = {
    # The images have 28x28 pixels. 28 is divisible by 4 and not by 8, which allows two levels of Glow and three scales
    # of RealNVP. Size and rate are from trials: benchmarks/results/fashion_mnist_glow_search.json.
    "fashion_mnist_glow": Preset(
        {"flow": "glow", "num_levels": 2, "num_steps": 8, "width": 64, "coupling": "mixture",
         "network_dtype": "mixed_bfloat16"},
        batch_size=32, epochs=16, optimizer="adam", learning_rate=2e-3, schedule="cosine", clip_norm=1.0,
        ema_momentum=0.999),
    # Number of blocks and rate are from trials, in which batches of 32 were better than of 64 at a rate of 1e-3:
    # benchmarks/results/fashion_mnist_realnvp_search.json.
    "fashion_mnist_realnvp": Preset(
        {"flow": "realnvp", "num_scales": 3, "num_blocks": 1, "width": 16}, batch_size=32, epochs=8,
        optimizer="adam", learning_rate=3e-3, schedule="cosine", clip_norm=1.0),
    "fashion_mnist_best": Preset(
        {"flow": "pyramid", "num_levels": 2, "width": (64, 96), "num_blocks": 3, "skip": False, "scale": None},
        batch_size=64, epochs=8, optimizer="adam", learning_rate=3e-3, warmup_epochs=0, schedule="cosine",
        ema_momentum=0.999, temperature=1.0),
    # Size from `python -m benchmarks.flow_search --set=fashion_mnist`, rate from trials of 900 steps that are not kept,
    # both on validation images.
    "fashion_mnist_coupling": Preset(
        {"flow": "pyramid", "num_levels": 2, "width": (48, 64), "num_blocks": 3, "channels": "shared",
         "top": "couplings", "network_dtype": "mixed_bfloat16"},
        batch_size=32, epochs=10, optimizer="adam", learning_rate=6e-3, schedule="cosine", clip_norm=1.0,
        ema_momentum=0.999, flip=True, temperature=1.0),
    # Width and rate are from trials of six minutes on one core, on validation images, that are not kept.
    "fashion_mnist_pixelcnn": Preset(
        {"flow": "pixelcnn", "width": 48, "num_blocks": 5, "head_size": 48, "network_dtype": "mixed_bfloat16"},
        batch_size=32, epochs=6, optimizer="adam", learning_rate=6e-3, schedule="cosine", clip_norm=1.0,
        ema_momentum=0.999, flip=True, temperature=1.0),
}

CIFAR10 = {
    "cifar10_glow": Preset(
        {"flow": "glow", "num_levels": 3, "num_steps": 8, "width": 128, "network_dtype": "mixed_bfloat16"},
        batch_size=32, epochs=30, optimizer="adam", learning_rate=2e-3, schedule="cosine", clip_norm=1.0,
        ema_momentum=0.999),
    # The same Glow, conditioned on the class of the photo, for about a quarter of the epochs.
    "cifar10_glow_classes": Preset(
        {"flow": "glow", "num_levels": 3, "num_steps": 8, "width": 128, "network_dtype": "mixed_bfloat16"},
        batch_size=32, epochs=8, optimizer="adam", learning_rate=2e-3, schedule="cosine", clip_norm=1.0,
        ema_momentum=0.999, class_conditional=True, weight_y=0.01),
    # The activation is from `python -m benchmarks.flow_search --set=cifar10`, on validation images.
    "cifar10_coupling": Preset(
        {"flow": "pyramid", "num_levels": 5, "width": (64, 64, 64, 32, 32), "num_blocks": (3, 3, 3, 1, 1),
         "channels": "shared", "top": "couplings", "activation": "silu", "network_dtype": "mixed_bfloat16"},
        batch_size=32, epochs=9, optimizer="adam", learning_rate=6e-3, schedule="cosine", clip_norm=1.0,
        ema_momentum=0.999, flip=True, temperature=1.0),
    # In trials of four minutes on one core, on validation images, that are not kept, width 96 reached 3.624 bits/dim
    # without a gradient bound and 3.687 with a bound of 1. In bfloat16, ReLU was 1.5 times as fast as SiLU.
    "cifar10_pixelcnn": Preset(
        {"flow": "pixelcnn", "width": 128, "num_blocks": 6, "activation": "relu", "network_dtype": "mixed_bfloat16"},
        batch_size=16, epochs=13, optimizer="adam", learning_rate=3e-3, schedule="cosine", clip_norm=100.0,
        ema_momentum=0.999, flip=True, temperature=1.0),
    # In a trial of 130 seconds on one core that is not kept, batches of 32 reached 4.71 bits/dim on validation images,
    # and of 64 4.99.
    "cifar10_jet": Preset(
        {"flow": "jet", "patch_size": 4, "depth": 20, "block_depth": 1, "width": 96, "num_heads": 4}, batch_size=32,
        epochs=10, optimizer="adamw", learning_rate=1e-3, schedule="cosine", beta_2=0.95, weight_decay=1e-5,
        clip_norm=1.0, ema_momentum=0.999, temperature=1.0),
}
