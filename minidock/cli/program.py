# SPDX-License-Identifier: Apache-2.0
"""The process around `main`: begins and ends as fast as a Python process can."""

import gc
import os
import sys

from minidock.annotations import NoReturn


def run() -> NoReturn:
    """Run the program and end the process with its exit status."""
    # Importing makes many objects and no garbage: looking for some costs 10 ms a start. What
    # lives longer, the monitor, collects again.
    gc.disable()
    try:
        from minidock.cli.main import main  # after the line above

        status = main()
    except KeyboardInterrupt:  # before `main` could take notice
        status = 130
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads, or it was closed: `main` has seen to it
            pass
    # Taking the interpreter apart costs another 10 ms, and the kernel does it as well.
    os._exit(status)
