# SPDX-License-Identifier: Apache-2.0
"""Security options and capabilities as users write them, before anything is made of them."""

from collections.abc import Iterable, Mapping

from minidock.errors import InvalidArgument
from minidock.linux import capabilities

TRUE = ("1", "t", "T", "true", "TRUE", "True")  # Go's strconv.ParseBool
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "no-new-privileges": (*TRUE, *_FALSE),
    "systempaths": ("unconfined",),
    "seccomp": (),
    "apparmor": (),
    "label": (),
}
"""The values of each; () for any."""


def check(
    cap_add: tuple[str, ...], cap_drop: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """Raise UnknownCapability or InvalidArgument for a value that is none."""
    capabilities.effective_set(
        cap_add, cap_drop, privileged=False, bounding=capabilities.bounding()
    )
    parse(options)


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Return the values of ``--security-opt`` by name; raise InvalidArgument."""
    options: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            key, separator, value = text.partition(":")
        if text == "no-new-privileges":
            value = "true"
        elif not separator:
            raise InvalidArgument(f'Invalid --security-opt: "{text}"')
        allowed = _OPTIONS.get(key)
        if allowed is None or (allowed and value not in allowed) or not value:
            raise InvalidArgument(f'invalid --security-opt 2: "{text}"')
        options[key] = value
    return options
