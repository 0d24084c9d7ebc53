# SPDX-License-Identifier: Apache-2.0
"""Elementwise transforms: functions that couplings and autoregressive bijectors apply to each changed element."""

from tfp_glow.transforms.additive import Additive
from tfp_glow.transforms.affine import Affine
from tfp_glow.transforms.elementwise import ElementwiseTransform, check_transform
from tfp_glow.transforms.logistic_mixture import LogisticMixture
from tfp_glow.transforms.logistic_mixture_cdf import LogisticMixtureCDF
from tfp_glow.transforms.rational_quadratic_spline import RationalQuadraticSpline

__all__ = [
    "Additive", "Affine", "ElementwiseTransform", "LogisticMixture", "LogisticMixtureCDF",
    "RationalQuadraticSpline", "check_transform",
]
