# SPDX-License-Identifier: Apache-2.0
"""Evaluation of trained models: scores, a histogram baseline, latents by level, latent paths, nearest neighbors."""
