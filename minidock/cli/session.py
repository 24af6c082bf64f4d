# SPDX-License-Identifier: Apache-2.0
"""What commands share: the environment, the configuration and the engine, made on demand."""

import json
import os
from functools import cached_property

from minidock.annotations import TYPE_CHECKING, Any
from minidock.cli.settings import Environment, docker_config_file, load_config
from minidock.config import Config

if TYPE_CHECKING:
    from minidock.engine.engine import Engine
    from minidock.runtime.seed import Seed


def make_engine(config: Config, seed: "Seed | None") -> "Engine":
    """Return the engine that the commands talk to."""
    from minidock.engine.engine import Engine  # help and wrong flags need none

    return Engine(config, seed)


def make_seed() -> "Seed":
    """Return what will be the monitor of the container that is to be started."""
    from minidock.engine.starting import plant  # most commands start none

    return plant()


class Session:
    """One call of the program.

    Attributes:
        environment: the process's environment.
        root: ``--root``, or empty.
        config_file: ``--config``, or empty.
        debug: errors show their tracebacks.
    """

    def __init__(self, environment: Environment = os.environ) -> None:
        self.environment = environment
        self.root = ""
        self.config_file = ""
        self.debug = False
        self._seed: Seed | None = None

    def expect_start(self) -> None:
        """Begin what a container's start needs, while it is found out what is to be started.

        It pays where that can be done on another processor.
        """
        if len(os.sched_getaffinity(0)) > 1:
            self._seed = make_seed()

    @cached_property
    def config(self) -> Config:
        """The configuration; reading it may raise InvalidConfiguration."""
        return load_config(self.environment, self.root, self.config_file)

    @cached_property
    def engine(self) -> "Engine":
        """The engine for the configuration."""
        return make_engine(self.config, self._seed)

    def docker_setting(self, key: str) -> str:
        """Return a text of docker's client configuration, empty if it has none."""
        value = self._docker_settings.get(key)
        return value if isinstance(value, str) else ""

    @cached_property
    def _docker_settings(self) -> dict[str, Any]:
        try:
            with open(docker_config_file(self.environment), "rb") as file:
                settings = json.load(file)
        # A broken file matters to whoever wants credentials from it; that place reports it.
        except (OSError, ValueError):
            return {}
        return settings if isinstance(settings, dict) else {}
