# SPDX-License-Identifier: Apache-2.0
"""A monitor becomes small: execve(2) of an interpreter that has only the event loop.

A monitor is a fork of the command that started the container, with all that this had imported.
Once the container runs that is of no use until its end, and there is a monitor for each
container. So it executes a fresh interpreter, which gets what counts by descriptor and a
description of it in memory. It is the same process: its pid, its children, its being a
subreaper, the pending signals and the lock, which belongs to an open file description, stay.
Nothing is lost meanwhile: output waits in its pipe, clients in the queue of the listening
socket, and the ends of processes as long as nobody has waited for them.

For the end, and a further run, the small monitor imports what it needs.
"""

from __future__ import annotations

import marshal
import os

from minidock.annotations import TYPE_CHECKING
from minidock.linux import signals
from minidock.linux.sockets import Socket
from minidock.runtime import interpreter
from minidock.runtime.channel import Connection
from minidock.runtime.log_writer import Legacy, LogWriter
from minidock.runtime.monitor_plan import NAME, Call, MonitorPlan, Schedule, plain
from minidock.runtime.supervisor import Member, Program
from minidock.runtime.watch import Run, watched
from minidock.values import NamedTuple

if TYPE_CHECKING:
    from minidock.runtime.lifetime import Life


class Handover(NamedTuple):
    """What one interpreter leaves to the next: descriptors, and what they are."""

    plan: MonitorPlan
    lock: int
    listener: int
    program: Program
    log: Legacy | None
    keep: tuple[int, ...]
    clients: tuple[tuple[int, bool], ...]
    schedule: Schedule | None

    @classmethod
    def of(cls, life: Life, run: Run) -> Handover:
        """Return all that the next interpreter has to know."""
        return cls(
            life.plan,
            life.lock,
            run.listener.fileno(),
            run.supervisor.program,
            run.log.legacy if run.log else None,
            run.keep,
            tuple((m.connection.fileno(), m.is_caller) for m in run.supervisor.members),
            run.prober.schedule if run.prober else None,
        )

    def dump(self) -> bytes:
        """Return its bytes, for the same version of Python."""
        return marshal.dumps(plain(self))

    @classmethod
    def load(cls, raw: bytes) -> Handover:
        """Return what `dump` has made bytes of."""
        given = cls(*marshal.loads(raw))  # noqa: S302  from this process itself
        return given._replace(
            plan=MonitorPlan.of(given.plan),
            program=Program(*given.program),
            log=given.log and Legacy(*given.log),
            schedule=given.schedule and Schedule(*given.schedule),
        )

    def set_inheritable(self, inheritable: bool) -> None:
        """Let all descriptors outlive execve(2), or not."""
        _, *streams = self.program
        log = self.log.fd if self.log else -1
        own = (self.lock, self.listener, log, *streams, *self.keep)
        for fd in (*own, *(fd for fd, _ in self.clients)):
            if fd >= 0:
                os.set_inheritable(fd, inheritable)


def shrink(life: Life, run: Run) -> None:
    """Go on in a small interpreter; return where that can't be had.

    To be called when nothing is on its way to or from the clients.
    """
    if not interpreter.is_available():
        return
    handover = Handover.of(life, run)
    memory = os.memfd_create(NAME, 0)
    os.write(memory, handover.dump())
    call = Call(__name__, resume.__name__, f"{memory} {life.plan.container}")
    handover.set_inheritable(True)
    signals.hold()
    try:
        interpreter.become(_link(life.plan), call)
    except OSError:  # such as an interpreter that was removed: one can do without
        signals.shield()
        handover.set_inheritable(False)
        os.close(memory)


def _link(plan: MonitorPlan) -> str:
    """Return the path by which the interpreter is executed: it gives the process its name."""
    return os.path.join(plan.directory, NAME)


def resume(text: str) -> None:
    """Be the small monitor.

    `text` has the number of the handover's descriptor, and for ps(1) the container's id.
    """
    memory = int(text.partition(" ")[0])
    handover = Handover.load(os.pread(memory, os.fstat(memory).st_size, 0))
    os.close(memory)
    handover.set_inheritable(False)
    signals.shield()
    interpreter.unlink(_link(handover.plan))
    try:
        _live(handover)
    except Exception as e:  # noqa: BLE001  there is nobody to tell
        from minidock.runtime.failures import note  # not needed before

        note(handover.plan.directory, e)
    os._exit(0)  # nothing is worth being taken apart


def _live(handover: Handover) -> None:
    run = _run(handover)
    status = run.watch()
    from minidock.runtime import lifetime  # memory does not count any more

    assert handover.plan.revive
    life = lifetime.Life(handover.plan, handover.plan.revive.make(), handover.lock)
    lifetime.go_on(life, lifetime.after(life, run, status))


def _run(handover: Handover) -> Run:
    plan, log = handover.plan, handover.log
    members = tuple(
        Member(Connection(Socket(fileno=fd)), is_caller) for fd, is_caller in handover.clients
    )
    return watched(
        plan,
        handover.program,
        Socket(fileno=handover.listener),
        LogWriter(plan.log, log) if plan.log else None,
        handover.keep,
        members,
        handover.schedule,
    )
