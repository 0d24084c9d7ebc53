# SPDX-License-Identifier: Apache-2.0
"""Charts, image grids and the HTML report of a training run."""
