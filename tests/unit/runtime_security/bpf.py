"""An interpreter of classic BPF as seccomp(2) runs it, as strict as the kernel's checker."""

import struct
from typing import NamedTuple


class Call(NamedTuple):
    """What a filter sees of a system call."""

    audit: int
    number: int
    arguments: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)

    def data(self) -> bytes:
        return struct.pack("<iIQ6Q", _signed(self.number), self.audit, 0, *self.arguments)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


class Outcome(NamedTuple):
    action: int
    steps: int


def run(program: bytes, call: Call) -> Outcome:
    """Return the value of the program's return and the number of instructions on the way."""
    data = call.data()
    assert len(program) % 8 == 0
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = 0
    position = 0
    for steps in range(1, len(code) + 1):
        operation, yes, no, k = code[position]
        position += 1
        match operation:
            case 0x20:  # ld [k]
                assert k % 4 == 0
                assert k + 4 <= len(data)
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:  # and #k
                accumulator &= k
            case 0x05:  # ja k
                position += k
            case 0x15:  # jeq #k
                position += yes if accumulator == k else no
            case 0x25:  # jgt #k
                position += yes if accumulator > k else no
            case 0x35:  # jge #k
                position += yes if accumulator >= k else no
            case 0x06:  # ret #k
                return Outcome(k, steps)
            case _:
                raise AssertionError(f"unexpected instruction {operation:#x}")
        assert position < len(code)
    raise AssertionError("a program without loops runs each instruction once at most")
