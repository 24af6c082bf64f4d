# SPDX-License-Identifier: Apache-2.0
"""The configuration file and the environment become one Config.

A setting is taken from the first place that has it: the command line, the environment, the
configuration file, the default. The file is YAML::

    root: /var/lib/minidock
    platform: linux/amd64
    bridge_subnet: 172.29.0.0/16
    proxies:
      http: http://proxy.example:3128
      https: http://proxy.example:3128
      no_proxy: localhost,.example
    registries:
      docker.io:
        mirrors: [https://mirror.example]
      registry.example:5000:
        insecure: true
        ca_file: /etc/ssl/registry.pem
"""

import json
import os
from collections.abc import Callable, Mapping

from minidock.annotations import Any, TypeVar
from minidock.cli.params import parse_platform
from minidock.config import Config, Proxies, RegistrySettings
from minidock.errors import InvalidArgument
from minidock.fs.atomic import read_file, write_file
from minidock.oci.descriptor import Platform

Environment = Mapping[str, str]
T = TypeVar("T")

_MAX_FILE = 1 << 20


class InvalidConfiguration(InvalidArgument):
    """The configuration file, or a variable of the environment, can't be meant."""


class _Section:
    """One mapping of the file; every error names the file and the key."""

    def __init__(self, path: str, name: str, value: object) -> None:
        self._path = path
        self._name = name
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._invalid(name, f"expected a mapping, got {_kind(value)}")
        self._values: dict[Any, Any] = value

    def only(self, *known: str) -> "_Section":
        for key in self._values:
            if key not in known:
                raise self._invalid(
                    self._key(key), "unknown key", hint=f"known keys: {', '.join(known)}"
                )
        return self

    def text(self, key: str) -> str:
        return self._typed(key, str, "a text", "")

    def flag(self, key: str) -> bool:
        return self._typed(key, bool, "true or false", False)

    def texts(self, key: str) -> tuple[str, ...]:
        items = self._typed(key, list, "a list", [])
        if not all(isinstance(item, str) for item in items):
            raise self._invalid(self._key(key), "expected a list of texts")
        return tuple(items)

    def parsed(self, key: str, parse: Callable[[str], T]) -> T | None:
        text = self.text(key)
        if not text:
            return None
        try:
            return parse(text)
        except InvalidArgument as e:
            raise self._invalid(self._key(key), e.message) from e

    def section(self, key: str) -> "_Section":
        return _Section(self._path, self._key(key), self._values.get(key))

    def sections(self) -> dict[str, "_Section"]:
        return {str(key): self.section(key) for key in self._values}

    def _typed(self, key: str, type_: type[T], wanted: str, default: T) -> T:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, type_):
            raise self._invalid(self._key(key), f"expected {wanted}, got {_kind(value)}")
        return value

    def _key(self, key: object) -> str:
        return f"{self._name}.{key}" if self._name else str(key)

    def _invalid(self, key: str, problem: str, hint: str | None = None) -> InvalidConfiguration:
        where = f"configuration file {self._path}"
        message = f"{where}: {key}: {problem}" if key else f"{where}: {problem}"
        return InvalidConfiguration(message, hint=hint)


def _kind(value: object) -> str:
    names = {str: "a text", list: "a list", dict: "a mapping", bool: "true or false"}
    return names.get(type(value), f"{value!r}"[:80])


def load_config(environment: Environment, root: str = "", config_file: str = "") -> Config:
    """Return the configuration; `root` and `config_file` are what the command line says.

    Raises:
        InvalidConfiguration: naming the file or the variable, and the key.
    """
    path = config_file or environment.get("MINIDOCK_CONFIG", "")
    root = root or environment.get("MINIDOCK_ROOT", "")
    cache = os.path.join(root or _default_root(environment), "cache")
    file = _read(path or _default_file(environment), must_exist=bool(path), cache=cache)
    file.only("root", "platform", "bridge_subnet", "proxies", "registries")
    root = root or file.text("root") or _default_root(environment)
    return Config(
        root=os.path.abspath(root),
        platform=_platform(environment) or file.parsed("platform", parse_platform) or machine(),
        registries=_registries(file.section("registries")),
        proxies=_proxies(environment, file.section("proxies")),
        docker_config=docker_config_file(environment),
        source_date_epoch=_source_date_epoch(environment),
        bridge_subnet=file.text("bridge_subnet") or Config._field_defaults["bridge_subnet"],
    )


def docker_config_file(environment: Environment) -> str:
    """Return the path of docker's client configuration, which may not exist."""
    directory = environment.get("DOCKER_CONFIG") or os.path.join(_home(environment), ".docker")
    return os.path.join(os.path.abspath(directory), "config.json")


def machine() -> Platform:
    """Return the platform of this machine."""
    return parse_platform(f"linux/{os.uname().machine}")


def _home(environment: Environment) -> str:
    return environment.get("HOME") or os.path.expanduser("~")


def _default_file(environment: Environment) -> str:
    if os.geteuid() == 0:
        return "/etc/minidock/config.yaml"
    return os.path.join(_home(environment), ".config/minidock/config.yaml")


def _default_root(environment: Environment) -> str:
    if os.geteuid() == 0:
        return "/var/lib/minidock"
    return os.path.join(_home(environment), ".local/share/minidock")


def _read(path: str, *, must_exist: bool, cache: str) -> _Section:
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        if not must_exist:
            return _Section(path, "", {})
        raise InvalidConfiguration(f"configuration file {path}: no such file") from None
    except OSError as e:
        reason = (e.strerror or "").lower()
        raise InvalidConfiguration(f"configuration file {path}: {reason}") from e
    if len(raw) > _MAX_FILE:
        raise InvalidConfiguration(f"configuration file {path}: more than {_MAX_FILE} bytes")
    return _Section(path, "", _parse_cached(path, raw, cache))


def _parse_cached(path: str, raw: bytes, cache: str) -> object:
    """Return what the file says; a parsed copy in directory `cache` saves importing PyYAML.

    Only what JSON can hold without loss is kept.
    """
    copy = os.path.join(cache, "config.json")
    text = raw.decode("utf-8", "surrogateescape")
    try:
        source, value = json.loads(read_file(copy))
        if source == text:
            return value
    except (OSError, ValueError, TypeError):
        pass
    value = _parse_yaml(path, raw)
    try:
        data = json.dumps([text, value])
        if json.loads(data)[1] == value and os.path.isdir(cache):
            write_file(copy, data.encode(), durable=False)
    except (OSError, TypeError, ValueError):
        pass
    return value


def _parse_yaml(path: str, raw: bytes) -> object:
    import yaml  # costs 20 ms, and most machines have no file

    try:
        return yaml.safe_load(raw)
    except (yaml.YAMLError, RecursionError) as e:
        reason = " ".join(str(e).split()) or "nested too deeply"
        raise InvalidConfiguration(f"configuration file {path}: {reason}") from e


def _registries(section: _Section) -> dict[str, RegistrySettings]:
    return {host: _registry(settings) for host, settings in section.sections().items()}


def _registry(settings: _Section) -> RegistrySettings:
    settings.only("mirrors", "insecure", "ca_file")
    return RegistrySettings(
        mirrors=settings.texts("mirrors"),
        insecure=settings.flag("insecure"),
        ca_file=settings.text("ca_file"),
    )


def _proxies(environment: Environment, section: _Section) -> Proxies:
    section.only("http", "https", "no_proxy")

    def proxy(variable: str, key: str) -> str:
        return (
            environment.get(variable) or environment.get(variable.lower()) or section.text(key)
        )

    return Proxies(
        proxy("HTTP_PROXY", "http"),
        proxy("HTTPS_PROXY", "https"),
        proxy("NO_PROXY", "no_proxy"),
    )


def _platform(environment: Environment) -> Platform | None:
    text = environment.get("DOCKER_DEFAULT_PLATFORM")
    if not text:
        return None
    try:
        return parse_platform(text)
    except InvalidArgument as e:
        raise InvalidConfiguration(f"DOCKER_DEFAULT_PLATFORM: {e.message}") from e


def _source_date_epoch(environment: Environment) -> int | None:
    text = environment.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidConfiguration(f"SOURCE_DATE_EPOCH: expected seconds, got {text!r}")
    return int(text)
