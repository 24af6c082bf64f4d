# SPDX-License-Identifier: Apache-2.0
"""Asking the user before something is lost."""

import sys

from minidock.cli.output import out_bytes


def confirm(warning: str) -> bool:
    """Ask on stdout whether to go on in spite of `warning`; the end of stdin means no."""
    out_bytes(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ".encode())
    return sys.stdin.readline().strip().lower() == "y"
