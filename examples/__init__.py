# SPDX-License-Identifier: Apache-2.0
"""Examples of flows with other parts of TensorFlow Probability and with TensorFlow Serving."""
