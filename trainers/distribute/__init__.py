# SPDX-License-Identifier: Apache-2.0
"""Distribution strategies, and what several worker processes need."""
