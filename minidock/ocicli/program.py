# SPDX-License-Identifier: Apache-2.0
"""The process ``minidock-runtime``: begins and ends as fast as a Python process can."""

import gc
import os
import sys

from minidock.annotations import NoReturn


def run() -> NoReturn:
    """Run the program and end the process with its exit status."""
    gc.disable()  # as in cli.program: what is made lives until the end
    from minidock.ocicli.main import main  # after the line above

    os._exit(main(sys.argv[1:]))
