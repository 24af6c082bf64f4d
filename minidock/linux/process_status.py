# SPDX-License-Identifier: Apache-2.0
"""What a process does with signals: proc_pid_status(5)."""

import os
from collections.abc import Iterator


def drops_signal(pid: int, number: int) -> bool:
    """Tell whether signal `number` is lost on process `pid`; False where it is gone.

    The kernel drops a signal to the first process of a pid namespace, pid_namespaces(7), that
    has no handler for it, unless a thread blocks it to take it with sigwait(3) or signalfd(2).
    A process that ignores it by intent is not meant: it may want to be waited for.
    """
    bit = 1 << number - 1
    try:
        status = _status(f"/proc/{pid}")
        if status["NSpid"].split()[1:][-1:] != ["1"]:
            return False
        if (int(status["SigCgt"], 16) | int(status["SigIgn"], 16)) & bit:
            return False
        return not any(
            int(_status(thread)["SigBlk"], 16) & bit or _waits_for_signals(thread)
            for thread in _threads(pid)
        )
    except (OSError, KeyError):
        return False


def _threads(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/task"
    return (f"{directory}/{thread}" for thread in os.listdir(directory))


def _waits_for_signals(thread: str) -> bool:
    """Tell whether a thread is in sigtimedwait(2).

    Meanwhile the signals that it waits for, which it blocks, are not among SigBlk: the kernel
    has them in real_blocked, which it shows to nobody.
    """
    with open(f"{thread}/wchan") as file:
        return "sigtimedwait" in file.read()


def _status(directory: str) -> dict[str, str]:
    with open(f"{directory}/status", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
