# SPDX-License-Identifier: Apache-2.0
"""The bijectors: each a `tfp.bijectors.Bijector` whose parameters are Keras 3 variables."""

from tfp_glow.bijectors.act_norm import ActNorm
from tfp_glow.bijectors.coupling import AdditiveCoupling, AffineCoupling, Coupling
from tfp_glow.bijectors.elementwise import Additive, Affine
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.invertible_conv import InvertibleConv1x1
from tfp_glow.bijectors.multiscale import Multiscale
from tfp_glow.bijectors.passes import forward_and_log_det, initialize, inverse_and_log_det
from tfp_glow.bijectors.pixels import AffinePixels
from tfp_glow.bijectors.repeat import Repeat
from tfp_glow.bijectors.squeeze import Squeeze
from tfp_glow.bijectors.steps import Steps

__all__ = [
    "ActNorm", "Additive", "AdditiveCoupling", "Affine", "AffineCoupling", "AffinePixels", "Coupling", "FlowBijector",
    "InvertibleConv1x1", "Multiscale", "Repeat", "Squeeze", "Steps", "forward_and_log_det", "initialize",
    "inverse_and_log_det",
]
