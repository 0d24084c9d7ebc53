# SPDX-License-Identifier: Apache-2.0
"""Networks for coupling layers: plain Keras 3 layers that know nothing of bijectors."""

from tfp_glow.networks.conv_layers import NormalizedConv2D, ZeroConv2D
from tfp_glow.networks.convnet import ConvNet

__all__ = ["ConvNet", "NormalizedConv2D", "ZeroConv2D"]
