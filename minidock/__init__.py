# SPDX-License-Identifier: Apache-2.0
"""minidock: pull, run, commit, build and share container images without a daemon."""

__version__ = "0.1.0"
