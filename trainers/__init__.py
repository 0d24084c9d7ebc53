# SPDX-License-Identifier: Apache-2.0
"""Training, evaluating and sampling flows: the data, the presets and the three mains."""
