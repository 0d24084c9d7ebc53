# SPDX-License-Identifier: Apache-2.0
"""SavedModel export and TensorFlow Serving's directory layout."""
