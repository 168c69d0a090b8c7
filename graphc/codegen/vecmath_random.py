"""Counter-based random bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.codegen.llvm_types import Value

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: Threefry-2x32 (J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC11): rotations and key parity.
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA


def threefry(e: Lanes, key: tuple[Value, Value], counter: tuple[Value, Value]) -> tuple[Value, Value]:
    """The two words of Threefry-2x32 with 20 rounds, on u32 lanes."""
    keys = (*key, e.bit_xor(e.bit_xor(key[0], key[1]), e.constant(PARITY)))
    x, y = e.add(counter[0], keys[0]), e.add(counter[1], keys[1])
    for block in range(5):
        for step in range(4):
            x = e.add(x, y)
            rotation = e.constant(ROTATIONS[4 * (block % 2) + step])
            y = e.bit_xor(e.intrinsic("fshl", y, y, rotation), x)
        x = e.add(x, keys[(block + 1) % 3])
        y = e.add(e.add(y, keys[(block + 2) % 3]), e.constant(block + 1))
    return x, y
