# SPDX-License-Identifier: Apache-2.0
"""Bijectors of normalizing flows: subclasses of `tfp.bijectors.Bijector` whose parameters are Keras 3 variables."""

from tfp_glow.bijectors._single_pass import forward_and_log_det, inverse_and_log_det
from tfp_glow.bijectors.act_norm import ActNorm
from tfp_glow.bijectors.batch_norm import BatchNorm
from tfp_glow.bijectors.bind_context import BindContext
from tfp_glow.bijectors.channel_autoregressive import ChannelAutoregressive
from tfp_glow.bijectors.conditional_affine import ConditionalAffine
from tfp_glow.bijectors.coupling import AdditiveCoupling, AffineCoupling, Coupling
from tfp_glow.bijectors.dense_conv import DenseConv1x1
from tfp_glow.bijectors.elementwise import Elementwise
from tfp_glow.bijectors.flatten import Flatten
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.bijectors.initialization import initialize
from tfp_glow.bijectors.invertible_conv import InvertibleConv1x1
from tfp_glow.bijectors.keras_tracking import track_flows
from tfp_glow.bijectors.map_context import MapContext
from tfp_glow.bijectors.masked_autoregressive import MaskedAutoregressive
from tfp_glow.bijectors.multiscale import Multiscale
from tfp_glow.bijectors.permute import Permute, Reverse, Shuffle
from tfp_glow.bijectors.pixel_autoregressive import PixelAutoregressive
from tfp_glow.bijectors.pixels import AffinePixels, LogitPixels, Pixels, RawPixels
from tfp_glow.bijectors.raster_autoregressive import RasterAutoregressive
from tfp_glow.bijectors.reordered import Reordered
from tfp_glow.bijectors.repeat import Repeat
from tfp_glow.bijectors.scale import Scale
from tfp_glow.bijectors.squeeze import Squeeze
from tfp_glow.bijectors.standardize import Standardize
from tfp_glow.bijectors.steps import Steps
from tfp_glow.transforms import Additive, Affine, LogisticMixture  # older code imports them from here

__all__ = [
    "ActNorm", "Additive", "AdditiveCoupling", "Affine", "AffineCoupling", "AffinePixels", "BatchNorm",
    "BindContext", "ChannelAutoregressive", "ConditionalAffine", "Coupling", "DenseConv1x1", "Elementwise",
    "Flatten", "FlowBijector", "InvertibleConv1x1", "LogisticMixture", "LogitPixels", "MapContext",
    "MaskedAutoregressive", "Multiscale", "Permute", "PixelAutoregressive", "Pixels", "RasterAutoregressive",
    "RawPixels", "Reordered", "Repeat", "Reverse", "Scale", "Shuffle", "Squeeze", "Standardize", "Steps",
    "forward_and_log_det", "initialize", "inverse_and_log_det",
]

track_flows()
