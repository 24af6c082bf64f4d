# SPDX-License-Identifier: Apache-2.0
"""What went wrong, for the engine that called: ``--log`` and standard error."""

import os
import time

from minidock.errors import MinidockError
from minidock.fs.atomic import write_all
from minidock.oci.manifest import dump_json
from minidock.values import NamedTuple

_STDERR = 2


class Log(NamedTuple):
    """Where messages go: the file at `path`, if any, as `form` (text or json), and stderr."""

    path: str = ""
    form: str = "text"

    def failure(self, error: MinidockError) -> None:
        """Write why the command has failed."""
        text = error.message.replace("\n", " ")
        if error.hint:
            text = f"{text} ({error.hint})"
        self._append("error", text)
        _write(_STDERR, f"minidock-runtime: {text}\n")

    def warnings(self, texts: tuple[str, ...]) -> None:
        """Write what the container goes without; to the file alone, as stderr is its own."""
        for text in texts:
            self._append("warning", text)

    def _append(self, level: str, text: str) -> None:
        if not self.path:
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.form == "json":
            line = dump_json({"msg": text, "level": level, "time": moment}).decode()
        else:
            line = f'time="{moment}" level={level} msg={dump_json(text).decode()}'
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, 0o644)
        except OSError:
            return  # nobody is there to be told
        _write(fd, line + "\n")
        os.close(fd)


def _write(fd: int, text: str) -> None:
    try:
        write_all(fd, text.encode(errors="replace"))
    except OSError:
        pass
