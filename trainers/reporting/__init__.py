# SPDX-License-Identifier: Apache-2.0
"""Pictures, charts and the HTML report of a run."""
