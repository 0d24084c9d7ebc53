# SPDX-License-Identifier: Apache-2.0
"""Presets for small images: scikit-learn's digits in minutes, Fashion-MNIST in hours, on two cores."""

from trainers.presets.preset import Preset

# 8x8 pixels of 17 levels. With 1,350 images the noise on pixels is what keeps the validation bits from rising after
# thirty epochs, more than any smaller network would. One budget for all five systems, so that they can be compared.
_BUDGET = {"batch_size": 64, "epochs": 100, "optimizer": "adam", "learning_rate": 1e-3, "schedule": "cosine",
           "pixel_noise": 0.05}

DIGITS = {
    "digits_glow": Preset(
        {"flow": "glow", "num_levels": 2, "num_steps": 16, "width": 64, "scale": "tanh"}, **_BUDGET,
        ema_momentum=0.99),
    # No moving average of the weights where there is batch norm: its running statistics belong to the last weights.
    "digits_realnvp": Preset(
        {"flow": "realnvp", "num_scales": 2, "num_blocks": 2, "width": 32}, **_BUDGET),
    # The same two, conditioned on the digit's class; the weight of Glow's classifier is that of the published commands.
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
    # Scores, and so learns, pixel after pixel: the slowest to train.
    "digits_iaf": Preset(
        {"flow": "iaf", "num_layers": 3, "hidden_sizes": (128, 128), "pixels": "logit", "act_norm": True}, **_BUDGET,
        ema_momentum=0.99),
}

FASHION_MNIST = {
    # 28x28 divides by 4 only, hence two levels of Glow and three scales of RealNVP. In trials of minutes a deeper
    # Glow and larger batches were behind.
    "fashion_mnist_glow": Preset(
        {"flow": "glow", "num_levels": 2, "num_steps": 8, "width": 96}, batch_size=32, epochs=30,
        optimizer="adam", learning_rate=2e-3, schedule="cosine", ema_momentum=0.999),
    "fashion_mnist_realnvp": Preset(
        {"flow": "realnvp", "num_scales": 3, "num_blocks": 2, "width": 16}, batch_size=64, epochs=30,
        optimizer="adam", schedule="cosine"),
    "fashion_mnist_best": Preset(
        {"flow": "pyramid", "num_levels": 2, "width": (64, 96), "num_blocks": 3}, batch_size=64, epochs=8,
        optimizer="adam", learning_rate=3e-3, warmup_epochs=0, schedule="cosine", ema_momentum=0.999, temperature=1.0),
}
