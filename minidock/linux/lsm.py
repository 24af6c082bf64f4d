# SPDX-License-Identifier: Apache-2.0
"""Which Linux security modules are there."""

_APPARMOR = "/sys/module/apparmor/parameters/enabled"


def has_apparmor() -> bool:
    """Tell whether the kernel runs with AppArmor."""
    try:
        with open(_APPARMOR, encoding="ascii") as file:
            return file.read() == "Y\n"
    except OSError:
        return False
