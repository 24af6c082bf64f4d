# SPDX-License-Identifier: Apache-2.0
"""Which failures are worth another attempt, how many, and after what time."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from minidock.annotations import TypeVar
from minidock.errors import Unavailable
from minidock.progress import Progress, Retrying
from minidock.registry.transport import ConnectionFailed, Interrupted, Response, Timing
from minidock.values import NamedTuple

MAX_ATTEMPTS = 5
MAX_WAIT = 60.0
"""Seconds a server may ask to wait (Retry-After, RFC 9110 §10.2.3)."""

_FIRST_DELAY = 0.5
_BUSY = frozenset({429, 500, 502, 503, 504})

T = TypeVar("T")


class Patience(NamedTuple):
    """Attempts at a host that is `absent`, and over connections that are `broken`."""

    absent: int
    broken: int


ORIGIN = Patience(absent=3, broken=MAX_ATTEMPTS)
SPARE = Patience(absent=1, broken=MAX_ATTEMPTS)
"""For a server that others can stand in for."""
PROBE = Patience(absent=1, broken=1)
"""For finding out whether a host speaks TLS."""


class UnexpectedAnswer(Unavailable):
    """A status that the distribution specification does not give for the request."""

    def __init__(self, host: str, status: int) -> None:
        super().__init__(f"registry {host} answered {describe_status(status)}")
        self.status = status


class ServerBusy(Unavailable):
    """The server can't answer now; `wait` is what it asks for, in seconds, or None."""

    def __init__(self, host: str, status: int, wait: float | None) -> None:
        asks = f" and asks to wait {wait:.0f} s" if wait else ""
        hint = "log in or use a mirror: the registry limits requests" if status == 429 else None
        super().__init__(f"registry {host} answered {describe_status(status)}{asks}", hint=hint)
        self.status = status
        self.wait = wait


def describe_status(status: int) -> str:
    """Return the status with its standard name, never the server's own words."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def failure_of(response: Response, host: str) -> Unavailable:
    """Return the error that an unwelcome answer of `host` stands for."""
    if response.status in _BUSY:
        wait = parse_retry_after(response.headers.get("Retry-After", ""))
        return ServerBusy(host, response.status, wait)
    return UnexpectedAnswer(host, response.status)


def parse_retry_after(text: str) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, None if it is void."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


class Retrier:
    """Makes an action again while its failure may pass, telling `progress` each time."""

    def __init__(self, progress: Progress, timing: Timing) -> None:
        self._progress = progress
        self._timing = timing

    def telling(self, progress: Progress) -> "Retrier":
        """Return the same retrier with another progress."""
        return Retrier(progress, self._timing)

    def run(self, what: str, action: Callable[[], T], patience: Patience) -> T:
        """Return the value of `action`, after up to five attempts.

        Raises:
            ConnectionFailed, Interrupted, ServerBusy: of the last attempt.
        """
        for attempt in itertools.count(1):
            try:
                return action()
            except (ConnectionFailed, Interrupted, ServerBusy) as e:
                if attempt >= _attempts(e, patience):
                    raise
                delay = self._delay(e, attempt)
                self._progress(Retrying(what, e.message, delay))
                self._timing.sleep(delay)
        raise AssertionError("unreachable")

    def _delay(self, error: Unavailable, attempt: int) -> float:
        backoff = _FIRST_DELAY * 2.0 ** (attempt - 1) * (1 + self._timing.jitter() / 4)
        asked = error.wait if isinstance(error, ServerBusy) else None
        return max(backoff, asked or 0.0)


def _attempts(error: ConnectionFailed | Interrupted | ServerBusy, patience: Patience) -> int:
    if isinstance(error, ServerBusy):
        return 1 if (error.wait or 0.0) > MAX_WAIT else MAX_ATTEMPTS
    if isinstance(error, Interrupted):
        return MAX_ATTEMPTS
    return {"hopeless": 1, "absent": patience.absent, "broken": patience.broken}[error.kind]
