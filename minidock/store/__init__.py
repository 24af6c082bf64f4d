# SPDX-License-Identifier: Apache-2.0
"""The state on disk: images, layers and containers."""
