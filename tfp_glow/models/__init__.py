# SPDX-License-Identifier: Apache-2.0
"""`FlowModel`, the Keras model that trains a distribution, and its parts."""
