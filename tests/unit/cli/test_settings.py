# SPDX-License-Identifier: Apache-2.0
"""Flags, environment, file and defaults become one configuration."""

from pathlib import Path

import pytest

from minidock.cli.settings import InvalidConfiguration, load_config
from minidock.config import Config, Proxies, RegistrySettings
from minidock.oci.descriptor import Platform

FULL = """
root: /state
platform: arm64
bridge_subnet: 10.9.0.0/16
proxies: {http: "http://p:1", no_proxy: localhost}
registries:
  docker.io:
    mirrors: ["https://m"]
  "r:5000":
    insecure: true
    ca_file: /ca.pem
  empty:
"""


def load(tmp_path: Path, text: str, **environment: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config({"HOME": str(tmp_path), **environment}, config_file=str(path))


def test_file(tmp_path: Path) -> None:
    """Every key of the file arrives."""
    config = load(tmp_path, FULL)
    assert config.root == "/state"
    assert config.platform == Platform("linux", "arm64")
    assert config.bridge_subnet == "10.9.0.0/16"
    assert config.proxies == Proxies("http://p:1", "", "localhost")
    assert config.registry("docker.io") == RegistrySettings(("https://m",))
    assert config.registry("r:5000") == RegistrySettings(insecure=True, ca_file="/ca.pem")
    assert config.registry("empty") == RegistrySettings()


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """The environment is asked first."""
    config = load(
        tmp_path,
        FULL,
        MINIDOCK_ROOT="/env",
        DOCKER_DEFAULT_PLATFORM="linux/amd64",
        http_proxy="http://e:2",
        SOURCE_DATE_EPOCH="7",
        DOCKER_CONFIG="/dc",
    )
    assert config.root == "/env"
    assert config.platform == Platform("linux", "amd64")
    assert config.proxies.http == "http://e:2"
    assert config.source_date_epoch == 7
    assert config.docker_config == "/dc/config.json"


def test_flag_wins_over_everything(tmp_path: Path) -> None:
    """The command line is asked before the environment, and a relative root made absolute."""
    config = load_config({"HOME": str(tmp_path), "MINIDOCK_ROOT": "/env"}, root="/flag/../f")
    assert config.root == "/f"


def test_empty_file(tmp_path: Path) -> None:
    """An empty file changes nothing."""
    assert load(tmp_path, "").bridge_subnet == Config._field_defaults["bridge_subnet"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bogus: 1", "bogus: unknown key"),
        ("root: 5", "root: expected a text, got 5"),
        ("- a", "expected a mapping, got a list"),
        ("platform: foo", "platform: error parsing specified platform"),
        ("registries: x", "registries: expected a mapping, got a text"),
        ("registries: {h: {mirror: x}}", "registries.h.mirror: unknown key"),
        ("registries: {h: {mirrors: x}}", "registries.h.mirrors: expected a list, got a text"),
        (
            "registries: {h: {mirrors: [1]}}",
            "registries.h.mirrors: expected a list of texts",
        ),
        (
            "registries: {h: {insecure: 1}}",
            "registries.h.insecure: expected true or false, got 1",
        ),
        ("proxies: {ftp: x}", "proxies.ftp: unknown key"),
        ("a: [", "while parsing a flow node"),
        ("[" * 5000, ""),
        ("!!python/object:os.system x", "could not determine a constructor"),
    ],
)
def test_bad_file(tmp_path: Path, text: str, problem: str) -> None:
    """Every error names the file and the key."""
    with pytest.raises(InvalidConfiguration) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(f"configuration file {tmp_path}/config.yaml: ")
    assert problem in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"), [("SOURCE_DATE_EPOCH", "x"), ("DOCKER_DEFAULT_PLATFORM", "foo")]
)
def test_bad_environment(tmp_path: Path, name: str, value: str) -> None:
    """A bad variable is named."""
    with pytest.raises(InvalidConfiguration, match=f"^{name}: "):
        load(tmp_path, "", **{name: value})


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_named_file_must_exist(tmp_path: Path, how: str) -> None:
    """A file that was asked for must exist; the default one need not."""
    path = str(tmp_path / "nosuch.yaml")
    environment = {"MINIDOCK_CONFIG": path} if how == "variable" else {}
    with pytest.raises(InvalidConfiguration, match="no such file"):
        load_config(environment, config_file=path if how == "flag" else "")


def test_parsed_file_is_kept_and_follows_changes(tmp_path: Path) -> None:
    """The copy in the cache gives the same configuration, until the file says otherwise."""
    (tmp_path / "root/cache").mkdir(parents=True)
    file = tmp_path / "config.yaml"
    environment = {"HOME": str(tmp_path), "MINIDOCK_ROOT": str(tmp_path / "root")}
    for subnet in ("10.1.0.0/16", "10.2.0.0/16"):
        file.write_text(f"bridge_subnet: {subnet}\n")
        for _ in range(2):
            config = load_config(environment, config_file=str(file))
            assert config.bridge_subnet == subnet
        assert subnet in (tmp_path / "root/cache/config.json").read_text()
    (tmp_path / "root/cache/config.json").write_text("damaged")
    assert load_config(environment, config_file=str(file)).bridge_subnet == "10.2.0.0/16"
