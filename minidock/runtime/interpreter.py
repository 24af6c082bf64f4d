# SPDX-License-Identifier: Apache-2.0
"""Further interpreters that run a part of minidock: the small monitor, a health check."""

import os
import sys

from minidock.runtime.monitor_plan import Call

# The directory, or the archive, that has the package minidock, three steps up.
_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from minidock.runtime.interpreter import begin; begin(*sys.argv[2:])"
)


def is_available() -> bool:
    """Tell whether this process knows how to start the interpreter that it runs in.

    A program with Python inside it has another executable, or none.
    """
    return os.path.basename(sys.executable or "").startswith("python")


def words(name: str, call: Call) -> list[str]:
    """Return the words that execute an interpreter, called `name`, which makes `call`.

    It has the standard library and minidock (``-S``), and nothing of the working directory's
    (``-P``). PYTHON* variables count for it as they do for this one.
    """
    flags = ["-S", "-P", *(["-E"] if sys.flags.ignore_environment else [])]
    return [sys.executable, *flags, "-c", _BOOT, _PACKAGES, name, *call]


def start(name: str, call: Call) -> int:
    """Start an interpreter, called `name`, that makes `call`; return its pid."""
    command = words(name, call)
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(command[0], command)
        finally:
            os._exit(127)
    return pid


def begin(name: str, *call: str) -> None:
    """Be such an interpreter."""
    name_process(name)
    Call(*call).make()


def name_process(name: str) -> None:
    """Set what ps(1) calls this process: at most 15 bytes, see proc_pid_comm(5)."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(name.encode())
