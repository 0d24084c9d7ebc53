# SPDX-License-Identifier: Apache-2.0
"""Networks for conditioners: Keras 3 layers, independent of bijectors and of TensorFlow Probability."""

from tfp_glow.networks.causal_resnet import CausalConv2D, CausalResNet
from tfp_glow.networks.conv_layers import NormalizedConv2D, ZeroConv2D
from tfp_glow.networks.convnet import ConvNet
from tfp_glow.networks.image_features import ImageFeatures
from tfp_glow.networks.made import MADE
from tfp_glow.networks.mlp import MLP
from tfp_glow.networks.pixel_features import PixelFeatures
from tfp_glow.networks.pixel_head import PixelHead
from tfp_glow.networks.pixel_inputs import PixelInputs
from tfp_glow.networks.pixel_made import PixelMADE
from tfp_glow.networks.placed_resnet import PlacedResNet
from tfp_glow.networks.residual_made import ResidualMADE
from tfp_glow.networks.residual_mlp import ResidualMLP
from tfp_glow.networks.resnet import ResNet
from tfp_glow.networks.scaled_tanh import ScaledTanh
from tfp_glow.networks.vit import ViT
from tfp_glow.networks.weight_norm import WeightNormConv2D

__all__ = [
    "CausalConv2D", "CausalResNet", "ConvNet", "ImageFeatures", "MADE", "MLP", "NormalizedConv2D", "PixelFeatures",
    "PixelHead", "PixelInputs", "PixelMADE", "PlacedResNet", "ResNet", "ResidualMADE", "ResidualMLP", "ScaledTanh",
    "ViT", "WeightNormConv2D", "ZeroConv2D",
]
