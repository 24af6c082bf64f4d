# SPDX-License-Identifier: Apache-2.0
"""``--log-driver`` and ``--log-opt``: where a container's output is kept, and how much of it.

Every log is a file in docker's json-file format. Without options it takes 100 MB at most, as
docker's driver `local` does and its `json-file` does not.
"""

import re
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.errors import InvalidArgument
from minidock.runtime.log_writer import LogFile

NONE = "none"
_LOCAL = frozenset(("max-size", "max-file", "compress"))
_FILES = {
    "json-file": _LOCAL | {"labels", "labels-regex", "env", "env-regex", "tag"},
    "local": _LOCAL,
}
_COMMON = frozenset(("mode", "max-buffer-size"))
_ELSEWHERE = frozenset(
    ("awslogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog", "etwlogs")
)
_SIZE = r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?"
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def check(driver: str, options: Mapping[str, str]) -> str:
    """Return a warning for a driver of docker's that is not here, empty for one that is.

    Raises:
        InvalidArgument: there is no such driver, or option of it, or value; docker's text.
    """
    if driver in _ELSEWHERE:
        return f"logging driver {driver} is not supported yet, the log is kept as json-file"
    if driver == NONE and options:
        raise InvalidArgument("invalid logging opts for driver none")
    if driver == NONE:
        return ""
    if driver not in _FILES:
        raise InvalidArgument(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found'
        )
    if options.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {options['mode']}")
    for name in sorted(options.keys() - _FILES[driver] - _COMMON):
        where = "json-file log driver" if driver == "json-file" else f"log driver {driver}"
        raise InvalidArgument(f"unknown log opt '{name}' for {where}")
    try:
        _rotated(LogFile(""), options)
    except ValueError as e:
        raise InvalidArgument(f"failed to initialize logging driver: {e}") from e
    return ""


def log_file(path: str, host: Mapping[str, Any]) -> LogFile | None:
    """Return the log of a container with docker's HostConfig `host`; None for no log."""
    if host["LogConfig"]["Type"] == NONE:
        return None
    return _rotated(LogFile(path), host["LogConfig"]["Config"] or {})


def _rotated(file: LogFile, options: Mapping[str, str]) -> LogFile:
    """Return `file` with the limits that `options` set; raise ValueError."""
    if "max-size" in options:
        # As docker: who limits the size and says no more means one file.
        file = file._replace(max_size=_parse_size(options["max-size"]), max_files=1)
    if "max-file" in options:
        file = file._replace(max_files=_parse_count(options["max-file"]))
    return file


def _parse_size(text: str) -> int:
    """Return the bytes of a size; a kilobyte has 1000 of them here. Raise ValueError."""
    match = re.fullmatch(_SIZE, text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    size = int(float(match[1]) * 1000 ** _POWERS[match[2].lower()])
    if size <= 0:
        raise ValueError("max-size must be a positive number")
    return size


def _parse_count(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII):
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 1:
        raise ValueError("max-file cannot be less than 1")
    return int(text)
