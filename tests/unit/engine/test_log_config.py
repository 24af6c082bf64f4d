# SPDX-License-Identifier: Apache-2.0
"""``--log-driver`` and ``--log-opt``."""

from typing import Any

import pytest

from minidock.engine.log_config import check, log_file
from minidock.errors import InvalidArgument
from minidock.runtime.log_writer import LogFile


def host(driver: str, **options: str) -> dict[str, Any]:
    config = {name.replace("_", "-"): value for name, value in options.items()}
    return {"LogConfig": {"Type": driver, "Config": config}}


@pytest.mark.parametrize(
    ("given", "file"),
    [
        (host("json-file"), LogFile("log", 20_000_000, 5)),
        (host("local", max_file="2"), LogFile("log", 20_000_000, 2)),
        (host("json-file", max_size="10m"), LogFile("log", 10_000_000, 1)),
        (host("json-file", max_size="1.5k", max_file="3"), LogFile("log", 1500, 3)),
        (host("json-file", max_size="2MiB"), LogFile("log", 2_000_000, 1)),
        (host("none"), None),
    ],
)
def test_limits(given: dict[str, Any], file: LogFile | None) -> None:
    """The options of a stored container are its log's limits."""
    assert log_file("log", given) == file


@pytest.mark.parametrize(
    ("driver", "options", "text"),
    [
        ("json-file", {"foo": "1"}, "unknown log opt 'foo' for json-file log driver"),
        ("local", {"tag": "1"}, "unknown log opt 'tag' for log driver local"),
        ("json-file", {"max-size": "x"}, "initialize logging driver: invalid size: 'x'"),
        ("json-file", {"max-size": "-1"}, "initialize logging driver: invalid size: '-1'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ("json-file", {"mode": "foo"}, "logging mode not supported: foo"),
        ("none", {"tag": "x"}, "invalid logging opts for driver none"),
        ("bogus", {}, 'error looking up logging plugin bogus: plugin "bogus" not found'),
    ],
)
def test_refusals(driver: str, options: dict[str, str], text: str) -> None:
    """They have docker's texts."""
    with pytest.raises(InvalidArgument) as caught:
        check(driver, options)
    assert caught.value.message.endswith(text)


def test_drivers_of_others() -> None:
    """One that docker has and minidock has not is a warning."""
    assert "syslog" in check("syslog", {"syslog-address": "tcp://x"})
    assert check("json-file", {"max-size": "1m", "mode": "non-blocking"}) == ""
    assert check("none", {}) == ""
