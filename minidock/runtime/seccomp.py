# SPDX-License-Identifier: Apache-2.0
"""Seccomp filters for containers, and a cache for docker's default one.

Compiling takes tens of milliseconds, reading the cache a fraction of one: hence the imports
inside functions.
"""

import json
from binascii import crc32
from collections.abc import Mapping

from minidock import __version__
from minidock.annotations import Any
from minidock.fs.atomic import read_file, write_file

_MAGIC = b"minidock-bpf\n"
_CHECK_SIZE = 4


def kernel_version(release: str) -> tuple[int, int]:
    """Return major and minor of uname(2)'s release; (0, 0) for what has no numbers."""
    major, _, rest = release.partition(".")
    minor = ""
    for character in rest:
        if not character.isdecimal():
            break
        minor += character
    return (int(major), int(minor)) if major.isdecimal() and minor else (0, 0)


def compile_default(machine: str, capabilities: int, kernel: tuple[int, int]) -> bytes:
    """Return docker's default policy as a program for linux.seccomp.load.

    Args:
        machine: as uname(2) has it.
        capabilities: the container's, as a mask.
        kernel: major and minor version.

    Raises:
        Unsupported: there is no table of system calls for `machine`.
    """
    from minidock.runtime.seccomp_bpf import compile_policy  # only on a cache miss
    from minidock.runtime.seccomp_policy import DEFAULT  # only on a cache miss

    return compile_policy(DEFAULT, machine, capabilities, kernel)


def compile_profile(
    raw: bytes, machine: str, capabilities: int, kernel: tuple[int, int]
) -> bytes:
    """Return profile `raw`, a file in docker's JSON format, as compile_default does.

    Raises:
        InvalidArgument: the profile is wrong.
        Unsupported: it can't be done on `machine`, or needs what minidock has not got.
    """
    from minidock.runtime.seccomp_bpf import compile_policy  # seldom used on the run path
    from minidock.runtime.seccomp_profile import parse_profile  # seldom used on the run path

    return compile_policy(parse_profile(raw, machine), machine, capabilities, kernel)


def compile_object(profile: Mapping[str, Any], machine: str, kernel: tuple[int, int]) -> bytes:
    """Return ``linux.seccomp`` of a runtime spec as a program; raise as compile_profile."""
    from minidock.runtime.seccomp_bpf import compile_policy  # not on minidock's own path
    from minidock.runtime.seccomp_profile import policy_of  # not on minidock's own path

    return compile_policy(policy_of(profile, machine), machine, 0, kernel)


def cached(directory: str, machine: str, capabilities: int, kernel: tuple[int, int]) -> bytes:
    """Return what compile_default returns, from a file in `directory` if it is there.

    The file is made if it is missing or damaged; without a writable `directory` the program is
    compiled each time.
    """
    major, minor = kernel
    name = f"{__version__}-{machine}-{capabilities:x}-{major}.{minor}.bpf"
    path = f"{directory}/{name}"
    if program := _read(path):
        return program
    program = compile_default(machine, capabilities, kernel)
    try:
        write_file(path, _MAGIC + _check(program) + program, durable=False)
    except OSError:
        pass
    return program


def default_document(
    directory: str, machine: str, capabilities: int, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return docker's default policy as ``linux.seccomp`` of a runtime spec; as `cached`."""
    major, minor = kernel
    name = f"{__version__}-{machine}-{capabilities:x}-{major}.{minor}.json"
    path = f"{directory}/{name}"
    try:
        found: dict[str, Any] = json.loads(read_file(path))
    except (OSError, ValueError):
        from minidock.runtime.seccomp_document import document  # only on a cache miss
        from minidock.runtime.seccomp_policy import DEFAULT  # only on a cache miss

        found = document(DEFAULT, machine, capabilities, kernel)
        try:
            write_file(path, json.dumps(found).encode(), durable=False)
        except OSError:
            pass
    return found


def profile_document(
    raw: bytes, machine: str, capabilities: int, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return profile `raw`, in docker's format, as ``linux.seccomp`` of a runtime spec."""
    from minidock.runtime.seccomp_document import document  # seldom used on the run path
    from minidock.runtime.seccomp_profile import parse_profile  # seldom used on the run path

    return document(parse_profile(raw, machine), machine, capabilities, kernel)


def _read(path: str) -> bytes | None:
    """Return the program in file `path`, None if there is no whole one."""
    try:
        data = read_file(path)
    except OSError:
        return None
    program = data[len(_MAGIC) + _CHECK_SIZE :]
    return program if program and data == _MAGIC + _check(program) + program else None


def _check(program: bytes) -> bytes:
    return crc32(program).to_bytes(_CHECK_SIZE, "big")
