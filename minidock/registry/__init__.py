# SPDX-License-Identifier: Apache-2.0
"""The client of image registries; the only room that talks to the world."""
