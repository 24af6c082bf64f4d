"""What attacks on containers are aimed at: a canary, a secret, a place that guards it."""

import os
from typing import Any

from tests.fakes.registry import FakeRegistry
from tests.hostile.snapshots import Seen, snapshot
from tests.system.images import PATH, Entry, base_layer, layer
from tests.system.place import Place, Result

SECRET = "the-secret-of-the-host"


class Canary:
    """A directory of the host that no container may change or read."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(f"{path}/directory")
        for name in ("secret", "null", "ptmx", "0", "hosts", "directory/inner"):
            with open(f"{path}/{name}", "w") as file:
                file.write(SECRET)
            os.chmod(f"{path}/{name}", 0o600)
        os.chmod(path, 0o750)
        for name in ("directory/inner", "directory", "secret", ""):
            os.utime(f"{path}/{name}", ns=(10**18, 10**18))
        self._before = self.look()

    def look(self) -> dict[str, Seen]:
        """Return all that can be seen of it."""
        return snapshot(self.path)

    def assert_intact(self) -> None:
        """Assert that nothing in it has changed."""
        assert self.look() == self._before


class Guarded(Place):
    """A place where the host has a secret, which no output of any call may have."""

    def __init__(self, root: str, registry: FakeRegistry, words: list[str]) -> None:
        super().__init__(root, registry, words)
        self.environment["HOST_SECRET"] = SECRET

    def result(self, *words: str, stdin: bytes = b"", **environment: str) -> Result:
        result = super().result(*words, stdin=stdin, **environment)
        assert SECRET.encode() not in result.out + result.err, words
        return result

    def upper(self, name: str) -> str:
        """Return the host's path of a container's writable layer."""
        return f"{self.root}/containers/{self.inspect(name)['Id']}/upper"

    def offer(self, name: str, *entries: Entry, **config: Any) -> None:
        """Have the registry hold a new image: busybox with `entries` over it."""
        layers = [base_layer(), *([layer(*entries)] if entries else ())]
        whole = {"config": {"Env": [PATH], "Cmd": ["true"], **config}}
        self.registry.add_image(f"library/{name}", "latest", layers, whole, "plain")

    def add(self, name: str, *entries: Entry, **config: Any) -> str:
        """Pull such an image; return its name."""
        self.offer(name, *entries, **config)
        self("pull", "-q", name)
        return name
