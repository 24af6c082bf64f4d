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


def become(link: str, call: Call) -> None:
    """Go on as an interpreter that makes `call`; the process is called as `link` is.

    `link` is made, a symbolic link, and it is for the new interpreter to remove it. The name of
    a process is that of the file it executes, see proc_pid_comm(5).

    Raises:
        OSError: it can't be executed; all is as before.
    """
    unlink(link)  # of one that was killed here
    os.symlink(sys.executable, link)
    try:
        os.execv(link, _words(call))
    except OSError:
        unlink(link)
        raise


def unlink(link: str) -> None:
    """Remove `link` if it is there."""
    try:
        os.unlink(link)
    except FileNotFoundError:
        pass


def _words(call: Call) -> list[str]:
    """Return the words of an interpreter that makes `call`.

    It has the standard library and minidock (``-S``), and nothing of the working directory's
    (``-P``). PYTHON* variables count for it as they do for this one.
    """
    flags = ["-S", "-P", *(["-E"] if sys.flags.ignore_environment else [])]
    return [sys.executable, *flags, "-c", _BOOT, _PACKAGES, *call]


def start(call: Call) -> int:
    """Start a process that makes `call`, in a fresh interpreter if it can; return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            if is_available():
                os.execv(sys.executable, _words(call))
            call.make()
        finally:
            os._exit(127)
    return pid


def begin(*call: str) -> None:
    """Be such an interpreter."""
    Call(*call).make()


def name_process(name: str) -> None:
    """Set what ps(1) calls this process: at most 15 bytes, see proc_pid_comm(5)."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(name.encode())
