# SPDX-License-Identifier: Apache-2.0
"""The last step before the container's program: a static ELF in a sealed memory file.

While the kernel executes the image's program, ``/proc/self/exe`` (and so an image's
``#!/proc/self/exe``) is the program before. Were that the Python interpreter, the image could
overwrite the host's binary (CVE-2019-5736). So the child first executes 300 bytes of its own
that nobody can change, and these execute the program: ``execve(argv[0], argv + 1, envp)``.

For a process that enters a running container these bytes fork too: what appears in the
container's process namespace is never Python, and its ``/proc/PID/exe`` of no use inside. It
appears undumpable: a process of the container that stops it before its execve(2) could else
take its error pipe and name some process of the host as the one that was forked.
"""

import struct

from minidock.errors import Unsupported
from minidock.linux.libc import MACHINE
from minidock.linux.processes import sealed_program
from minidock.runtime.messages import EXEC, FAILED, FORKED
from minidock.values import NamedTuple

REPORT_FD = 3
"""Where the program expects the error pipe. It makes it close-on-exec first."""

INIT = "init --"
"""What the first process is called with `init`, before the container's command."""

_FAILED_EXEC = FAILED | EXEC << 8
_FORKED = FORKED | EXEC << 8
"""The first four bytes of a `messages.Record`; the errno or process id is the other four."""

# The kernel's stack at the start: argc, argv[0] ... argv[argc - 1], NULL, envp[0] ... NULL.
# A record is pushed on it and written from there.


class _Code(NamedTuple):
    """Machine code by parts: `fork` goes on in the child only; `exec` is always the last."""

    machine: int  # e_machine of elf(5)
    fork: bytes
    terminal: bytes
    exec: bytes


_X86_64 = _Code(
    62,
    bytes.fromhex(
        "bf04000000"  # mov  edi, 4                   PR_SET_DUMPABLE
        "31f6"  #       xor  esi, esi
        "b89d000000"  # mov  eax, 157                 prctl
        "0f05"  #       syscall
        "bf11800000"  # mov  edi, 0x8011              CLONE_PARENT | SIGCHLD
        "31f6"  #       xor  esi, esi                 the same stack: memory is not shared
        "31d2"  #       xor  edx, edx
        "4531d2"  #     xor  r10d, r10d
        "4531c0"  #     xor  r8d, r8d
        "b838000000"  # mov  eax, 56                  clone
        "0f05"  #       syscall
        "85c0"  #       test eax, eax
        "7428"  #       jz   child
        "48c1e020"  #   shl  rax, 32                  the process id, or -errno
        "480d"  #       or   rax, imm32
    )
    + struct.pack("<I", _FORKED)
    + bytes.fromhex(
        "50"  #         push rax
        "bf03000000"  # mov  edi, 3                   REPORT_FD
        "4889e6"  #     mov  rsi, rsp
        "ba08000000"  # mov  edx, 8
        "b801000000"  # mov  eax, 1                   write
        "0f05"  #       syscall
        "31ff"  #       xor  edi, edi
        "b8e7000000"  # mov  eax, 231                 exit_group
        "0f05"  #       syscall
        "b870000000"  # child: mov eax, 112           setsid
        "0f05"  #       syscall
    ),
    bytes.fromhex(
        "31ff"  #       xor  edi, edi
        "be0e540000"  # mov  esi, 0x540e              TIOCSCTTY
        "31d2"  #       xor  edx, edx
        "b810000000"  # mov  eax, 16                  ioctl
        "0f05"  #       syscall
    ),
    bytes.fromhex(
        "bf03000000"  # mov  edi, 3                   REPORT_FD
        "be02000000"  # mov  esi, 2                   F_SETFD
        "ba01000000"  # mov  edx, 1                   FD_CLOEXEC
        "b848000000"  # mov  eax, 72                  fcntl
        "0f05"  #       syscall
        "488b7c2408"  # mov  rdi, [rsp + 8]           argv[0]
        "488d742410"  # lea  rsi, [rsp + 16]          argv + 1
        "488b0424"  #   mov  rax, [rsp]               argc
        "488d54c410"  # lea  rdx, [rsp + rax*8 + 16]  envp
        "b83b000000"  # mov  eax, 59                  execve
        "0f05"  #       syscall
        "f7d8"  #       neg  eax                      errno
        "48c1e020"  #   shl  rax, 32
        "480d"  #       or   rax, imm32
    )
    + struct.pack("<I", _FAILED_EXEC)
    + bytes.fromhex(
        "50"  #         push rax
        "bf03000000"  # mov  edi, 3                   REPORT_FD
        "4889e6"  #     mov  rsi, rsp
        "ba08000000"  # mov  edx, 8
        "b801000000"  # mov  eax, 1                   write
        "0f05"  #       syscall
        "bf7f000000"  # mov  edi, 127
        "b8e7000000"  # mov  eax, 231                 exit_group
        "0f05"  #       syscall
    ),
)


def _words(*instructions: int) -> bytes:
    return struct.pack(f"<{len(instructions)}I", *instructions)


_AARCH64 = _Code(
    183,
    _words(
        0xD2800080,  # mov x0, #4                PR_SET_DUMPABLE
        0xD2800001,  # mov x1, #0
        0xD28014E8,  # mov x8, #167              prctl
        0xD4000001,  # svc #0
        0xD2900220,  # mov x0, #0x8011           CLONE_PARENT | SIGCHLD
        0xD2800001,  # mov x1, #0                the same stack: memory is not shared
        0xD2800002,  # mov x2, #0
        0xD2800003,  # mov x3, #0
        0xD2800004,  # mov x4, #0
        0xD2801B88,  # mov x8, #220              clone
        0xD4000001,  # svc #0
        0x340001A0,  # cbz w0, child
        0xD3607C00,  # lsl x0, x0, #32           the process id, or -errno
        0xD2800009 | _FORKED << 5,  # mov x9, #imm16
        0xAA090000,  # orr x0, x0, x9
        0xF81F0FE0,  # str x0, [sp, #-16]!
        0xD2800060,  # mov x0, #3                REPORT_FD
        0x910003E1,  # mov x1, sp
        0xD2800102,  # mov x2, #8
        0xD2800808,  # mov x8, #64               write
        0xD4000001,  # svc #0
        0xD2800000,  # mov x0, #0
        0xD2800BC8,  # mov x8, #94               exit_group
        0xD4000001,  # svc #0
        0xD28013A8,  # child: mov x8, #157       setsid
        0xD4000001,  # svc #0
    ),
    _words(
        0xD2800000,  # mov x0, #0
        0xD28A81C1,  # mov x1, #0x540e           TIOCSCTTY
        0xD2800002,  # mov x2, #0
        0xD28003A8,  # mov x8, #29               ioctl
        0xD4000001,  # svc #0
    ),
    _words(
        0xD2800060,  # mov x0, #3                REPORT_FD
        0xD2800041,  # mov x1, #2                F_SETFD
        0xD2800022,  # mov x2, #1                FD_CLOEXEC
        0xD2800328,  # mov x8, #25               fcntl
        0xD4000001,  # svc #0
        0xF94003E9,  # ldr x9, [sp]              argc
        0xF94007E0,  # ldr x0, [sp, #8]          argv[0]
        0x910043E1,  # add x1, sp, #16           argv + 1
        0x8B090C22,  # add x2, x1, x9, lsl #3    envp
        0xD2801BA8,  # mov x8, #221              execve
        0xD4000001,  # svc #0
        0x4B0003E0,  # neg w0, w0                errno
        0xD3607C00,  # lsl x0, x0, #32
        0xD2800009 | _FAILED_EXEC << 5,  # mov x9, #imm16
        0xAA090000,  # orr x0, x0, x9
        0xF81F0FE0,  # str x0, [sp, #-16]!
        0xD2800060,  # mov x0, #3                REPORT_FD
        0x910003E1,  # mov x1, sp
        0xD2800102,  # mov x2, #8
        0xD2800808,  # mov x8, #64               write
        0xD4000001,  # svc #0
        0xD2800FE0,  # mov x0, #127
        0xD2800BC8,  # mov x8, #94               exit_group
        0xD4000001,  # svc #0
    ),
)

_PROGRAMS = {"x86_64": _X86_64, "aarch64": _AARCH64}

_BASE = 0x400000
_HEADERS = 64 + 56  # Elf64_Ehdr, Elf64_Phdr


def image(
    machine: str = MACHINE, *, fork: bool = False, terminal: bool = False, init: bool = False
) -> bytes:
    """Return the ELF file for `machine` (as uname(2) names it).

    With `fork` it first makes a child of its own parent and reports the child's process id; the
    child begins a session, with `terminal` that of the terminal at descriptor 0, and goes on.
    With `init` its own child goes on, and it takes care of that: see reaper.py.

    Raises:
        Unsupported: there is no code for that machine.
    """
    if machine not in _PROGRAMS:
        raise Unsupported(f"containers can't be started on {machine}")
    parts = _PROGRAMS[machine]
    code = (parts.fork if fork else b"") + (parts.terminal if terminal else b"") + parts.exec
    if init:
        from minidock.runtime import reaper  # only --init needs it

        code = reaper.CODE[machine] + code
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little-endian, version 1
        2,  # ET_EXEC
        parts.machine,
        1,
        _BASE + _HEADERS,  # entry point
        64,  # the program header follows
        0,
        0,
        64,
        56,
        1,
        0,
        0,
        0,
    )
    size = _HEADERS + len(code)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)  # PT_LOAD, R+X
    return header + load + code


def open_program(*, fork: bool = False, terminal: bool = False, init: bool = False) -> int:
    """Return a new close-on-exec descriptor of the program, sealed against every change."""
    return sealed_program("minidock-exec", image(fork=fork, terminal=terminal, init=init))
