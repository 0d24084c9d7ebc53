# SPDX-License-Identifier: Apache-2.0
"""One program per library: each builds a flow and its optimizer, and runs in an environment of its own."""
