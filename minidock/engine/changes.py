# SPDX-License-Identifier: Apache-2.0
"""``commit --change``: single Dockerfile instructions applied to an image's config."""

import json
import shlex
from collections.abc import Callable

from minidock.engine.liveness import parse_signal
from minidock.engine.records import merge_env
from minidock.errors import InvalidArgument
from minidock.network.ports import parse_exposed
from minidock.oci.image import ImageConfig


class InvalidChange(InvalidArgument):
    """An instruction that ``--change`` does not take."""


def apply_changes(config: ImageConfig, changes: tuple[str, ...]) -> ImageConfig:
    """Return `config` after the instructions, in order; raise InvalidChange."""
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise InvalidChange(
                f"{word.lower()} is not a valid change command",
                hint="valid are " + ", ".join(sorted(_INSTRUCTIONS)),
            )
        if not rest.strip():
            raise InvalidChange(f"{word.upper()} requires at least one argument")
        try:
            config = instruction(config, rest.strip())
        except ValueError as e:
            raise InvalidChange(f"invalid change {change!r}: {e}") from e
    return config


def _command(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return ("/bin/sh", "-c", text)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of ``a=b c="d e"``, or of the old form ``a b c``."""
    if "=" not in text.split(None, 1)[0]:
        name, _, value = text.partition(" ")
        return ((name, value.strip()),)
    pairs = []
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"expected NAME=VALUE, got {word!r}")
        pairs.append((name, value))
    return tuple(pairs)


def _cmd(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(cmd=_command(text))


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(entrypoint=_command(text))


def _env(config: ImageConfig, text: str) -> ImageConfig:
    new = tuple(f"{name}={value}" for name, value in _pairs(text))
    return config._replace(env=merge_env(config.env, new))


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    pairs = {pair for word in text.split() for pair in parse_exposed(word)}
    ports = {f"{port}/{protocol}" for port, protocol in pairs}
    return config._replace(exposed_ports=tuple(sorted({*config.exposed_ports, *ports})))


def _label(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(labels={**config.labels, **dict(_pairs(text))})


def _user(config: ImageConfig, text: str) -> ImageConfig:
    return config._replace(user=text)


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    paths = _command(text) if text.startswith("[") else tuple(text.split())
    return config._replace(volumes=tuple(dict.fromkeys((*config.volumes, *paths))))


def _workdir(config: ImageConfig, text: str) -> ImageConfig:
    base = config.working_dir or "/"
    path = text if text.startswith("/") else f"{base.rstrip('/')}/{text}"
    return config._replace(working_dir=path)


def _stop_signal(config: ImageConfig, text: str) -> ImageConfig:
    parse_signal(text)
    return config._replace(stop_signal=text)


def _onbuild(config: ImageConfig, text: str) -> ImageConfig:
    triggers = [*(config.extra.get("OnBuild") or []), text]
    return config._replace(extra={**config.extra, "OnBuild": triggers})


_INSTRUCTIONS: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
