# SPDX-License-Identifier: Apache-2.0
"""Credentials from docker's client configuration file (``~/.docker/config.json``).

Only ``auths`` is read. Credential helpers are programs, and nothing here starts programs.
"""

import base64
import binascii

from minidock.errors import MinidockError
from minidock.oci.descriptor import InvalidDocument, json_object, json_text
from minidock.oci.manifest import load_json
from minidock.oci.reference import DEFAULT_REGISTRY
from minidock.progress import Progress, Warned
from minidock.values import NamedTuple

_MAX_FILE = 1 << 20
_HUB_KEY = "https://index.docker.io/v1/"


class Credentials(NamedTuple):
    """What proves who the user is: a password, or an identity token to exchange."""

    user: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"

    def basic(self) -> str:
        """Return the Authorization header of RFC 7617."""
        pair = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")


class InvalidCredentials(MinidockError):
    """A configuration file that holds no readable credentials."""


def load_credentials(path: str, host: str, progress: Progress) -> Credentials | None:
    """Return the credentials for registry `host` in the file at `path`, None if it has none.

    The key must be `host` with its port, exactly. A file that can't be read is a warning: most
    images need no credentials.
    """
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return parse_credentials(file.read(_MAX_FILE), host)
    except FileNotFoundError:
        return None
    except OSError as e:
        progress(Warned(f"no credentials read from {path}: {e.strerror}"))
    except (InvalidDocument, InvalidCredentials) as e:
        progress(Warned(f"no credentials read from {path}: {e.message}"))
    return None


def parse_credentials(raw: bytes, host: str) -> Credentials | None:
    """Return the credentials for `host` that the configuration `raw` holds.

    Raises:
        InvalidDocument, InvalidCredentials: it is not docker's format; no secret is quoted.
    """
    auths = json_object(load_json(raw, "configuration").get("auths") or {}, "auths")
    key = _HUB_KEY if host == DEFAULT_REGISTRY else host
    entry = json_object(auths.get(key) or {}, f"entry {key}")
    token = json_text(entry, "identitytoken")
    user, password = _decode(json_text(entry, "auth"), key)
    user = user or json_text(entry, "username")
    password = password or json_text(entry, "password")
    if not token and not user:
        return None
    return Credentials(user, password, token)


def _decode(auth: str, key: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as e:
        raise InvalidCredentials(f"entry {key}: auth is not base64 of USER:PASSWORD") from e
    user, _, password = text.partition(":")
    return user, password.rstrip("\0")  # docker pads with NUL bytes in old files
