# SPDX-License-Identifier: Apache-2.0
"""The configuration: one frozen value, built once by the command line and passed down."""

from collections.abc import Mapping

from minidock.oci.descriptor import Platform
from minidock.values import NamedTuple


class RegistrySettings(NamedTuple):
    """What ``config.yaml`` says of one registry host.

    `mirrors` are base URLs asked before the registry itself, in order. `insecure` allows plain
    http and unverified TLS. `ca_file` is a PEM file trusted in addition to the system's.
    """

    mirrors: tuple[str, ...] = ()
    insecure: bool = False
    ca_file: str = ""


class Proxies(NamedTuple):
    """URLs of proxies as in the environment; `no_proxy` is its comma-separated list."""

    http: str = ""
    https: str = ""
    no_proxy: str = ""


class Config(NamedTuple):
    """All that the engine needs to know about its surroundings.

    `root` is the absolute state directory. `docker_config` is docker's client configuration
    file (credentials), which may not exist. `source_date_epoch` is seconds, or None for the
    clock's time.
    """

    root: str
    platform: Platform
    registries: Mapping[str, RegistrySettings] = {}
    proxies: Proxies = Proxies()
    docker_config: str = ""
    source_date_epoch: int | None = None
    bridge_subnet: str = "172.29.0.0/16"

    def registry(self, host: str) -> RegistrySettings:
        """Return the settings of registry `host`, the defaults if none are given."""
        return self.registries.get(host, RegistrySettings())
