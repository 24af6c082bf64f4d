# SPDX-License-Identifier: Apache-2.0
"""Root file systems from layers: plans, and the drivers that perform them."""
