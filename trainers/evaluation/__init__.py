# SPDX-License-Identifier: Apache-2.0
"""Evaluation of trained models: scores, baselines, latents by level, latent paths and nearest neighbors."""
