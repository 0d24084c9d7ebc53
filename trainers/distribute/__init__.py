# SPDX-License-Identifier: Apache-2.0
"""Distribution strategies and the coordination of worker processes."""
