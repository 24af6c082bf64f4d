# SPDX-License-Identifier: Apache-2.0
"""Values of flags that mean more than their text: platforms, sizes, filters, ..."""

import os
import re

from minidock.cli.flags import Parsed
from minidock.errors import InvalidArgument
from minidock.network.ports import is_address
from minidock.oci.descriptor import Platform

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}
_KNOWN = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x")
)
_SIZE = r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?"
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_platform(text: str) -> Platform:
    """Return the platform ``os[/arch[/variant]]`` or ``arch`` stands for.

    >>> str(parse_platform("aarch64"))
    'linux/arm64'

    Raises:
        InvalidArgument: unknown words, or too many.
    """
    words = text.lower().split("/")
    if len(words) == 1:
        words = [words[0], _host_architecture()] if words[0] == "linux" else ["linux", *words]
    if len(words) not in (2, 3):
        raise InvalidArgument(
            f'error parsing specified platform: "{text}": expected os[/arch[/variant]]'
        )
    system, name, *variant = words
    architecture, its_variant = _ARCHITECTURES.get(name, (name, ""))
    if architecture not in _KNOWN or not re.fullmatch(r"[a-z0-9_-]+", system):
        raise InvalidArgument(
            f'error parsing specified platform: "{text}": '
            "unknown operating system or architecture: invalid argument"
        )
    return Platform(system, architecture, variant[0] if variant else its_variant)


def _host_architecture() -> str:
    return os.uname().machine


def parse_size(text: str) -> int:
    """Return bytes: ``64m`` and ``64MiB`` are 64 · 1024²; raise InvalidArgument."""
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if not match:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def parse_filter(text: str) -> tuple[str, str]:
    """Return the key and the value of ``--filter key=value``; raise ValueError."""
    key, equals, its_value = text.partition("=")
    if not equals:
        raise ValueError("bad format of filter (expected name=value)")
    return key.strip().lower(), its_value.strip()


def parse_label(text: str) -> tuple[str, str]:
    """Return the name and the value of ``--label name[=value]``; raise ValueError."""
    name, _, its_value = text.partition("=")
    if not name:
        raise ValueError(f"invalid label '{text}': empty name")
    return name, its_value


def parse_env(text: str) -> str:
    """Return ``NAME[=value]`` as it is; raise ValueError if it has no name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")
    return text


def parse_address(text: str) -> str:
    """Return an IP address as it is; raise ValueError for anything else."""
    if not is_address(text):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text


def parse_host(text: str) -> str:
    """Return ``--add-host name:address`` or ``name=address`` with a colon; raise ValueError."""
    separator = "=" if "=" in text else ":"
    name, _, address = text.partition(separator)
    if not name or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    address = address.removeprefix("[").removesuffix("]")
    if address != "host-gateway" and not is_address(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def parse_stream(text: str) -> str:
    """Return the stream of ``--attach`` in lower case; raise ValueError."""
    name = text.lower()
    if name not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return name


SIZE = Parsed("bytes", parse_size)
FILTER = Parsed("filter", parse_filter)
LABEL = Parsed("label", parse_label)
ENV = Parsed("env", parse_env)
ADDRESS = Parsed("ip", parse_address)
HOST = Parsed("host", parse_host)
STREAM = Parsed("stream", parse_stream)
