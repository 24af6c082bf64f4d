# SPDX-License-Identifier: Apache-2.0
"""Flags of ``run`` and ``create`` on devices, limits of a process, sysctls and namespaces."""

import json
import re
from collections.abc import Iterable

from minidock.cli.flags import INT, Parsed, switch, value, values
from minidock.cli.params import SIZE
from minidock.engine.options import DeviceMapping, RestartPolicy, Ulimit
from minidock.errors import InvalidArgument

_ULIMITS = frozenset(
    (
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    )
)
_DEVICE_RULE = r"[acb] (?:[0-9]+|\*):(?:[0-9]+|\*) [rwm]{1,3}"
_CDI_NAME = r"[a-z][\w.-]*/[\w.-]+=.+"
_POLICIES = ("no", "always", "on-failure", "unless-stopped")


def parse_ulimit(text: str) -> Ulimit:
    """Return the limit of ``name=soft[:hard]``; raise ValueError with docker's text."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit values - {limits}, can only have soft[:hard]")
    try:
        soft, hard = int(parts[0]), int(parts[-1])
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{limits}": invalid syntax') from None
    if hard >= 0 and (soft < 0 or soft > hard):
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    return Ulimit(name, soft, hard)


def parse_device(text: str) -> DeviceMapping:
    """Return the device of ``host[:container][:rwm]``; raise ValueError with docker's text."""
    if re.fullmatch(_CDI_NAME, text):
        raise ValueError(f"devices of a container device interface are not supported: {text}")
    parts = text.split(":")
    if len(parts) > 3 or "" in parts[:2]:
        raise ValueError(f"invalid device specification: {text}")
    source, destination, permissions = parts[0], parts[0], "rwm"
    if len(parts) == 3:
        destination, permissions = parts[1], parts[2]
    elif len(parts) == 2:
        if _are_permissions(parts[1]):
            permissions = parts[1]
        else:
            destination = parts[1]
    if not _are_permissions(permissions):
        raise ValueError(f"bad mode specified: {permissions}")
    for path in (source, destination):
        if not path.startswith("/"):
            raise ValueError(f"{path} is not an absolute path")
    return DeviceMapping(source, destination, permissions)


def _are_permissions(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def parse_device_rule(text: str) -> str:
    """Return ``--device-cgroup-rule "c 1:3 rwm"`` as it is; raise ValueError."""
    if not re.fullmatch(_DEVICE_RULE, text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def parse_pair(text: str) -> tuple[str, str]:
    """Return the key and the value of ``key=value``; raise ValueError."""
    key, equals, its_value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"invalid format '{text}': expected key=value")
    return key.strip(), its_value


def parse_sysctl(text: str) -> tuple[str, str]:
    """Return name and value of a setting that a container can have for itself.

    Raises:
        ValueError: another setting, or no value; the text is docker's.
    """
    from minidock.runtime.spec import is_namespaced  # with ctypes below it, 3 ms

    name, equals, setting = text.partition("=")
    if not equals or not is_namespaced(name):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, setting


def read_security_options(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the values of ``--security-opt`` with seccomp profiles instead of their files.

    Raises:
        InvalidArgument: a profile can't be read, or is no JSON.
    """
    return tuple(map(_with_profile, texts))


def _with_profile(text: str) -> str:
    key, _, path = text.partition("=")
    if key != "seccomp" or path in ("", "unconfined", "builtin"):
        return text
    try:
        with open(path, encoding="utf-8") as file:
            profile = json.load(file)
    except OSError as e:
        reason = (e.strerror or "").lower()
        raise InvalidArgument(
            f"opening seccomp profile ({path}) failed: open {path}: {reason}"
        ) from e
    except ValueError as e:
        raise InvalidArgument(
            f"compacting json for seccomp profile ({path}) failed: {e}"
        ) from e
    return f"{key}={json.dumps(profile, separators=(',', ':'))}"


def parse_restart(text: str) -> RestartPolicy:
    """Return the policy of ``--restart name[:retries]``; raise InvalidArgument."""
    name, colon, count = text.partition(":")
    if not name:
        if colon:
            raise InvalidArgument(
                "invalid restart policy format: no policy provided before colon"
            )
        return RestartPolicy()
    if name not in _POLICIES:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if not colon:
        return RestartPolicy(name)
    try:
        maximum = int(count)
    except ValueError:
        raise InvalidArgument(
            "invalid restart policy format: maximum retry count must be an integer"
        ) from None
    if maximum < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if name != "on-failure" and maximum:
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    return RestartPolicy(name, maximum)


def check_mode(flag: str, mode: str, allowed: Iterable[str], kind: str) -> str:
    """Return namespace mode `mode`; raise InvalidArgument if it is none of `allowed`.

    ``container:NAME`` in `allowed` stands for any container.
    """
    is_named = mode.startswith("container:") and mode != "container:"
    kind_of_mode = "container:NAME" if is_named else mode
    if mode and kind_of_mode not in allowed:
        raise InvalidArgument(f"--{flag}: invalid {kind} mode")
    return mode


_ULIMIT = Parsed("ulimit", parse_ulimit)
_DEVICE = Parsed("device", parse_device)
_DEVICE_RULE_TYPE = Parsed("rule", parse_device_rule)
_SYSCTL = Parsed("sysctl", parse_sysctl)
PAIR = Parsed("pair", parse_pair)

ISOLATION_FLAGS = (
    values("--annotation", type=PAIR, kind="map", help="Add an annotation to the container"),
    value("--cgroupns", help="Cgroup namespace to use (host|private)"),
    values("--device", type=_DEVICE, help="Add a host device to the container"),
    values(
        "--device-cgroup-rule",
        type=_DEVICE_RULE_TYPE,
        help="Add a rule to the cgroup allowed devices list",
    ),
    switch("--init", help="Run an init that forwards signals and reaps processes"),
    value("--ipc", help="IPC mode to use"),
    value("--oom-score-adj", type=INT, default=0, help="Tune host's OOM preferences"),
    value("--pid", help="PID namespace to use"),
    value("--runtime", help="Runtime to use for this container"),
    value("--shm-size", type=SIZE, default=0, help="Size of /dev/shm"),
    values("--sysctl", type=_SYSCTL, kind="map", help="Sysctl options"),
    values("--ulimit", type=_ULIMIT, kind="ulimit", help="Ulimit options"),
    value("--userns", help="User namespace to use"),
    value("--uts", help="UTS namespace to use"),
)
