# SPDX-License-Identifier: Apache-2.0
"""Names for containers that were given none: an adjective and somebody who computed."""

import os

_ADJECTIVES = """

"""
_PEOPLE = """

"""


def random_name() -> str:
    """Return a name such as ``keen_lovelace``, one of some twenty thousand."""
    adjectives, people = _ADJECTIVES.split(), _PEOPLE.split()
    rest, which = divmod(int.from_bytes(os.urandom(4), "big"), len(adjectives))
    return f"{adjectives[which]}_{people[rest % len(people)]}"
