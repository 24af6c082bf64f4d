# SPDX-License-Identifier: Apache-2.0
"""The script ``probe.sh`` as a command, and what it prints as a value."""

import os

_SCRIPT = os.path.join(os.path.dirname(__file__), "probe.sh")


def probe() -> tuple[str, ...]:
    """Return the words that run the script in a container with busybox."""
    with open(_SCRIPT) as file:
        return ("sh", "-c", file.read())


def parse(output: str) -> dict[str, str]:
    """Return what the script has found, by key."""
    pairs = (line.partition(" ") for line in output.splitlines())
    return {key: value for key, _, value in pairs}
