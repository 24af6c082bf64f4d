# SPDX-License-Identifier: Apache-2.0
"""``--init``: machine code of a first process that passes signals on and reaps what is left.

It stands before the code that executes the container's program (final.py). It blocks all
signals and makes a child, which goes on there: in a group of its own, the foreground one
if descriptor 0 is its session's terminal, without blocked signals. The parent sends the child
what it is sent, and waits for every process that ends. When the child does, so does the parent,
with its status or 128 and its signal, and the kernel ends the rest.

The kernel drops signals that a container's first process has no handler for, but for those that
it blocks: pid_namespaces(7), sig_ignored() in kernel/signal.c.

The path of the program comes as the last string of the environment, ``_=PATH``, and goes no
further. What is below the stack pointer is safe where no signal is handled.
"""

import struct

_X86_64 = bytes.fromhex(
    "bf0f000000"  #         mov edi, 15                         PR_SET_NAME
    "48c74424f8696e6974"  # mov qword ptr [rsp-8], 0x74696e69   "init"
    "488d7424f8"  #         lea rsi, [rsp-8]
    "b89d000000"  #         mov eax, 157                        prctl
    "0f05"  #               syscall
    "48c74424f8ffffffff"  # mov qword ptr [rsp-8], -1           all signals
    "bf02000000"  #         mov edi, 2                          SIG_SETMASK
    "488d7424f8"  #         lea rsi, [rsp-8]
    "31d2"  #               xor edx, edx
    "41ba08000000"  #       mov r10d, 8
    "b80e000000"  #         mov eax, 14                         rt_sigprocmask
    "0f05"  #               syscall
    "bf11000000"  #         mov edi, 17                         SIGCHLD
    "31f6"  #               xor esi, esi
    "31d2"  #               xor edx, edx
    "4531d2"  #             xor r10d, r10d
    "4531c0"  #             xor r8d, r8d
    "b838000000"  #         mov eax, 56                         clone
    "0f05"  #               syscall
    "85c0"  #               test eax, eax
    "747e"  #               jz child
    "0f881b010000"  #       js failed
    "4189c4"  #             mov r12d, eax                       the child
    "bf03000000"  #         mov edi, 3                          REPORT_FD
    "b803000000"  #         mov eax, 3                          close
    "0f05"  #               syscall
    "488d7c24f8"  #         wait: lea rdi, [rsp-8]
    "31f6"  #               xor esi, esi
    "31d2"  #               xor edx, edx
    "41ba08000000"  #       mov r10d, 8
    "b880000000"  #         mov eax, 128                        rt_sigtimedwait
    "0f05"  #               syscall
    "83f811"  #             cmp eax, 17                         SIGCHLD
    "7412"  #               je reap
    "85c0"  #               test eax, eax
    "7ee1"  #               jle wait
    "4489e7"  #             mov edi, r12d
    "89c6"  #               mov esi, eax
    "b83e000000"  #         mov eax, 62                         kill
    "0f05"  #               syscall
    "ebd3"  #               jmp wait
    "bfffffffff"  #         reap: mov edi, -1                   any child
    "488d7424f0"  #         lea rsi, [rsp-16]
    "ba01000000"  #         mov edx, 1                          WNOHANG
    "4531d2"  #             xor r10d, r10d
    "b83d000000"  #         mov eax, 61                         wait4
    "0f05"  #               syscall
    "85c0"  #               test eax, eax
    "7eb6"  #               jle wait
    "4439e0"  #             cmp eax, r12d
    "75de"  #               jne reap
    "8b4424f0"  #           mov eax, [rsp-16]
    "89c7"  #               mov edi, eax
    "83e77f"  #             and edi, 0x7f
    "7505"  #               jnz killed
    "0fb6fc"  #             movzx edi, ah                       WEXITSTATUS
    "eb03"  #               jmp exit
    "83ef80"  #             killed: sub edi, -128               128 + WTERMSIG
    "b8e7000000"  #         exit: mov eax, 231                  exit_group
    "0f05"  #               syscall
    "31ff"  #               child: xor edi, edi
    "31f6"  #               xor esi, esi
    "b86d000000"  #         mov eax, 109                        setpgid
    "0f05"  #               syscall
    "b827000000"  #         mov eax, 39                         getpid
    "0f05"  #               syscall
    "894424f0"  #           mov [rsp-16], eax
    "31ff"  #               xor edi, edi
    "be10540000"  #         mov esi, 0x5410                     TIOCSPGRP
    "488d5424f0"  #         lea rdx, [rsp-16]
    "b810000000"  #         mov eax, 16                         ioctl
    "0f05"  #               syscall
    "48c74424f800000000"  # mov qword ptr [rsp-8], 0            no signal
    "bf02000000"  #         mov edi, 2                          SIG_SETMASK
    "488d7424f8"  #         lea rsi, [rsp-8]
    "31d2"  #               xor edx, edx
    "41ba08000000"  #       mov r10d, 8
    "b80e000000"  #         mov eax, 14                         rt_sigprocmask
    "0f05"  #               syscall
    "488b0c24"  #           mov rcx, [rsp]
    "488d5ccc10"  #         lea rbx, [rsp+rcx*8+16]             envp
    "4883c308"  #           last: add rbx, 8
    "48833b00"  #           cmp qword ptr [rbx], 0
    "75f6"  #               jne last
    "488b43f8"  #           mov rax, [rbx-8]
    "48c743f800000000"  #   mov qword ptr [rbx-8], 0
    "4883c002"  #           add rax, 2                          behind "_="
    "4889442408"  #         mov [rsp+8], rax                    argv[0]
)
_AARCH64 = (
    0xD28001E0,  # mov x0, #15                         PR_SET_NAME
    0x528DCD29,  # mov w9, #0x6e69
    0x72AE8D29,  # movk w9, #0x7469, lsl #16           "init"
    0xF81F83E9,  # stur x9, [sp, #-8]
    0xD10023E1,  # sub x1, sp, #8
    0xD28014E8,  # mov x8, #167                        prctl
    0xD4000001,  # svc #0
    0x92800009,  # mov x9, #-1                         all signals
    0xF81F83E9,  # stur x9, [sp, #-8]
    0xD2800040,  # mov x0, #2                          SIG_SETMASK
    0xD10023E1,  # sub x1, sp, #8
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD28010E8,  # mov x8, #135                        rt_sigprocmask
    0xD4000001,  # svc #0
    0xD2800220,  # mov x0, #17                         SIGCHLD
    0xD2800001,  # mov x1, #0
    0xD2800002,  # mov x2, #0
    0xD2800003,  # mov x3, #0
    0xD2800004,  # mov x4, #0
    0xD2801B88,  # mov x8, #220                        clone
    0xD4000001,  # svc #0
    0x340004C0,  # cbz w0, child
    0x37F80980,  # tbnz w0, #31, failed
    0x2A0003F3,  # mov w19, w0                         the child
    0xD2800060,  # mov x0, #3                          REPORT_FD
    0xD2800728,  # mov x8, #57                         close
    0xD4000001,  # svc #0
    0xD10023E0,  # wait: sub x0, sp, #8
    0xD2800001,  # mov x1, #0
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD2801128,  # mov x8, #137                        rt_sigtimedwait
    0xD4000001,  # svc #0
    0x7100441F,  # cmp w0, #17                         SIGCHLD
    0x54000100,  # b.eq reap
    0x7100001F,  # cmp w0, #0
    0x54FFFEED,  # b.le wait
    0x2A0003E1,  # mov w1, w0
    0x2A1303E0,  # mov w0, w19
    0xD2801028,  # mov x8, #129                        kill
    0xD4000001,  # svc #0
    0x17FFFFF2,  # b wait
    0x92800000,  # reap: mov x0, #-1                   any child
    0xD10043E1,  # sub x1, sp, #16
    0xD2800022,  # mov x2, #1                          WNOHANG
    0xD2800003,  # mov x3, #0
    0xD2802088,  # mov x8, #260                        wait4
    0xD4000001,  # svc #0
    0x7100001F,  # cmp w0, #0
    0x54FFFD4D,  # b.le wait
    0x6B13001F,  # cmp w0, w19
    0x54FFFEE1,  # b.ne reap
    0xB85F03E9,  # ldur w9, [sp, #-16]
    0x72001920,  # ands w0, w9, #0x7f
    0x11020000,  # add w0, w0, #128                    128 + WTERMSIG
    0x53083D29,  # ubfx w9, w9, #8, #8                 WEXITSTATUS
    0x1A800120,  # csel w0, w9, w0, eq
    0xD2800BC8,  # mov x8, #94                         exit_group
    0xD4000001,  # svc #0
    0xD2800000,  # child: mov x0, #0
    0xD2800001,  # mov x1, #0
    0xD2801348,  # mov x8, #154                        setpgid
    0xD4000001,  # svc #0
    0xD2801588,  # mov x8, #172                        getpid
    0xD4000001,  # svc #0
    0xB81F03E0,  # stur w0, [sp, #-16]
    0xD2800000,  # mov x0, #0
    0xD28A8201,  # mov x1, #0x5410                     TIOCSPGRP
    0xD10043E2,  # sub x2, sp, #16
    0xD28003A8,  # mov x8, #29                         ioctl
    0xD4000001,  # svc #0
    0xF81F83FF,  # stur xzr, [sp, #-8]                 no signal
    0xD2800040,  # mov x0, #2                          SIG_SETMASK
    0xD10023E1,  # sub x1, sp, #8
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD28010E8,  # mov x8, #135                        rt_sigprocmask
    0xD4000001,  # svc #0
    0xF94003E9,  # ldr x9, [sp]
    0x910043EA,  # add x10, sp, #16
    0x8B090D4A,  # add x10, x10, x9, lsl #3            envp
    0xF8408D4B,  # last: ldr x11, [x10, #8]!
    0xB5FFFFEB,  # cbnz x11, last
    0xF85F814C,  # ldr x12, [x10, #-8]
    0xF81F815F,  # stur xzr, [x10, #-8]
    0x9100098C,  # add x12, x12, #2                    behind "_="
    0xF90007EC,  # str x12, [sp, #8]                   argv[0]
)
CODE = {
    "x86_64": _X86_64,
    "aarch64": struct.pack(f"<{len(_AARCH64)}I", *_AARCH64),
}
"""By machine, as uname(2) names it."""
