"""The order in which kernels run: what the schedule follows, and what estimates of memory assume."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping


def sequence(after: Mapping[int, Collection[int]]) -> list[int]:
    """Numbers in an order in which each comes after those that it must, given for each.

    Among free ones, first those that nothing waits for (updates of state: they only release memory), then the least.
    Where they wait for one another in a circle, these are left out.
    """
    waiting = {s: len(before) for s, before in after.items()}
    followers: dict[int, list[int]] = {s: [] for s in after}
    for serial, all_before in after.items():
        for before in sorted(all_before):
            followers[before].append(serial)
    ready = [(bool(followers[s]), s) for s, before in waiting.items() if not before]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, serial = heapq.heappop(ready)
        order.append(serial)
        for other in followers[serial]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, (bool(followers[other]), other))
    return order
