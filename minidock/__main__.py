# SPDX-License-Identifier: Apache-2.0
"""Run the command line as ``python -m minidock``."""

from minidock.cli.program import run

run()
