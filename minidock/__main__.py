# SPDX-License-Identifier: Apache-2.0
"""``python -m minidock``."""

import sys

from minidock.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
