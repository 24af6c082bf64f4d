# SPDX-License-Identifier: Apache-2.0
"""The last step before the container's program: a static ELF in a sealed memory file.

While the kernel executes the image's program, ``/proc/self/exe`` (and so an image's
``#!/proc/self/exe``) is the program before. Were that the Python interpreter, the image could
overwrite the host's binary (CVE-2019-5736). So the child first executes 200 bytes of its own
that nobody can change, and these execute the program: ``execve(argv[0], argv + 1, envp)``.
"""

import struct

from minidock.errors import Unsupported
from minidock.linux.libc import MACHINE
from minidock.linux.processes import sealed_program
from minidock.runtime.messages import EXEC, FAILED

REPORT_FD = 3
"""Where the program expects the error pipe. It makes it close-on-exec first."""

_FAILED_EXEC = FAILED | EXEC << 8
"""The first four bytes of a `messages.Record`; the errno is the other four."""

# The kernel's stack at the start: argc, argv[0] ... argv[argc - 1], NULL, envp[0] ... NULL.

_X86_64 = bytes.fromhex(
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
    "480d"  #       or   rax, imm32               kind and stage
) + struct.pack("<I", _FAILED_EXEC) + bytes.fromhex(
    "50"  #         push rax
    "bf03000000"  # mov  edi, 3                   REPORT_FD
    "4889e6"  #     mov  rsi, rsp
    "ba08000000"  # mov  edx, 8
    "b801000000"  # mov  eax, 1                   write
    "0f05"  #       syscall
    "bf7f000000"  # mov  edi, 127
    "b8e7000000"  # mov  eax, 231                 exit_group
    "0f05"  #       syscall
)  # fmt: skip

_AARCH64 = struct.pack(
    "<24I",
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
    0xD2800009 | _FAILED_EXEC << 5,  # mov x9, #imm16   kind and stage
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
)

# e_machine of elf(5), and the code.
_PROGRAMS = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}

_BASE = 0x400000
_HEADERS = 64 + 56  # Elf64_Ehdr, Elf64_Phdr


def image(machine: str = MACHINE) -> bytes:
    """Return the ELF file for `machine` (as uname(2) names it).

    Raises:
        Unsupported: there is no code for that machine.
    """
    if machine not in _PROGRAMS:
        raise Unsupported(f"containers can't be started on {machine}")
    number, code = _PROGRAMS[machine]
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little-endian, version 1
        2,  # ET_EXEC
        number,
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


def open_program() -> int:
    """Return a new close-on-exec descriptor of the program, sealed against every change."""
    return sealed_program("minidock-exec", image())
