# SPDX-License-Identifier: Apache-2.0
"""One method per user verb; the only room that composes the others."""
