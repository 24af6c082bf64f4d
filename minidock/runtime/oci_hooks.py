# SPDX-License-Identifier: Apache-2.0
"""Hooks of a runtime spec: programs of the host's that get the container's state on stdin."""

from collections.abc import Mapping

from minidock.annotations import Any
from minidock.errors import MinidockError
from minidock.oci.manifest import dump_json
from minidock.oci.runtime import Hook, Spec

BEFORE_START = ("prestart", "createRuntime")
"""Called when the namespaces exist; one that fails ends the start."""


class HookFailed(MinidockError):
    """A hook could not be executed, took too long, or ended with another status than 0."""


def run(spec: Spec, moments: tuple[str, ...], state: Mapping[str, Any]) -> None:
    """Call the hooks of `moments` in order; `state` is the container's, see runtime.md.

    Raises:
        HookFailed: one failed; those after it are not called.
    """
    for moment in moments:
        for hook in spec.hooks.get(moment, ()):
            _run(hook, moment, dump_json(state))


def run_all(spec: Spec, moment: str, state: Mapping[str, Any]) -> tuple[str, ...]:
    """Call every hook of `moment`; return the messages of those that failed."""
    failures = []
    for hook in spec.hooks.get(moment, ()):
        try:
            _run(hook, moment, dump_json(state))
        except HookFailed as e:
            failures.append(e.message)
    return tuple(failures)


def _run(hook: Hook, moment: str, state: bytes) -> None:
    import subprocess  # most containers have no hooks

    try:
        done = subprocess.run(
            hook.args or (hook.path,),
            executable=hook.path,
            env=dict(entry.split("=", 1) for entry in hook.env if "=" in entry),
            input=state,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=hook.timeout or None,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise HookFailed(f"{moment} hook {hook.path}: no end after {hook.timeout} s") from e
    except OSError as e:
        raise HookFailed(f"{moment} hook {hook.path}: {(e.strerror or '').lower()}") from e
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
        status = f"exit status {done.returncode}"
        raise HookFailed(f"{moment} hook {hook.path}: {status}{said and ': '}{said}")
