# SPDX-License-Identifier: Apache-2.0
"""Numbers and latent paths computed from a trained model."""
