"""An interpreter of the eBPF that decides on devices, as strict as the kernel's checker."""

import struct

INSTRUCTION = struct.Struct("<BBhI")
_WORD = 0xFFFFFFFF


def run(program: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """Return what `program` answers for struct bpf_cgroup_dev_ctx."""
    context = struct.pack("<III", access << 16 | kind, major, minor)
    code = list(INSTRUCTION.iter_unpack(program))
    registers: dict[int, int] = {}
    has_context = True
    position = 0
    while True:
        assert position < len(code)
        operation, both, offset, immediate = code[position]
        target, source = both & 15, both >> 4
        position += 1
        match operation:
            case 0x61:  # load a word of the context, which register 1 points to
                assert source == 1
                assert has_context
                assert offset in (0, 4, 8)
                (registers[target],) = struct.unpack_from("<I", context, offset)
            case 0x54:
                registers[target] &= immediate
            case 0x74:
                registers[target] >>= immediate
            case 0xBC:
                registers[target] = registers[source]
                has_context &= target != 1
            case 0xB4:
                registers[target] = immediate & _WORD
            case 0x56:
                assert offset > 0
                position += offset if registers[target] != immediate else 0
            case 0x5E:
                assert offset > 0
                position += offset if registers[target] != registers[source] else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unexpected instruction {operation:#x}")
