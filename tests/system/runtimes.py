# SPDX-License-Identifier: Apache-2.0
"""Runtimes of the OCI command line: our own, and those that this machine has."""

import os
import shutil
import sys
from pathlib import Path

from tests.system.place import REPOSITORY

OTHERS = tuple(name for name in ("runc", "crun") if shutil.which(name))


def own_runtime(directory: Path) -> str:
    """Return the path of ``minidock-runtime``, in `directory` where it is not installed."""
    beside = os.path.join(os.path.dirname(sys.executable), "minidock-runtime")
    if os.path.exists(beside):
        return beside
    script = directory / "minidock-runtime"
    script.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys.path.insert(0, {REPOSITORY!r})\n"
        "from minidock.ocicli.program import run\n"
        "run()\n"
    )
    script.chmod(0o755)
    return str(script)
