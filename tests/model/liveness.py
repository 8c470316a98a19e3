"""Every order ends. L1: from every state a final one can be reached, without faults and without the client. L2: no
endless run without faults avoids it, if a step that stays possible is taken at last (strong fairness).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TypeAlias

from tests.model.explore import Walk
from tests.model.state import LIVE

Edges: TypeAlias = "list[array[int]]"


def stuck(walk: Walk) -> list[int]:
    """L1: live states that can't reach a final one."""
    live = _live(walk)
    back: dict[int, list[int]] = {}
    for i in live:
        for j in walk.edges[i][::2]:
            back.setdefault(j, []).append(i)
    good = set(range(len(walk.states))) - live
    todo = list(good)
    while todo:
        new = [k for k in back.get(todo.pop(), ()) if k not in good]
        good.update(new)
        todo.extend(new)
    return sorted(live - good)


def endless(walk: Walk) -> list[tuple[int, set[int]]]:
    """L2: parts of the live states in which a fair run may stay: (one of its states, the labels of its steps)."""
    todo, loops = [_live(walk)], []
    while todo:
        for part in components(todo.pop(), walk.edges):
            steps = ((v, walk.edges[v]) for v in part)
            inside = {e[k + 1] for _, e in steps for k in range(0, len(e), 2) if e[k] in part}
            unfair = {v for v in part if not inside.issuperset(walk.edges[v][1::2])}
            if inside and unfair:
                todo.append(part - unfair)  # a run that stays must avoid these for ever
            elif inside:
                loops.append((min(part), inside))
    return loops


def components(nodes: set[int], edges: Edges) -> Iterator[set[int]]:
    """Strongly connected parts of a set of states: Tarjan's, without recursion.

    https://en.wikipedia.org/wiki/Tarjan%27s_strongly_connected_components_algorithm
    """
    order, low = dict[int, int](), dict[int, int]()
    stack, on = list[int](), set[int]()
    for root in nodes:
        work = [] if root in order else [(root, 0)]
        while work:
            v, k = work.pop()
            if v not in order:
                order[v] = low[v] = len(order)
                stack.append(v)
                on.add(v)
            deeper = _descend(v, k, nodes, edges, order, low, on)
            if deeper is not None:
                work += [(v, deeper), (edges[v][deeper], 0)]
            elif low[v] == order[v]:
                part: set[int] = set()
                while v not in part:
                    part.add(stack.pop())
                on -= part
                yield part


def _descend(
    v: int,
    k: int,
    nodes: set[int],
    edges: Edges,
    order: dict[int, int],
    low: dict[int, int],
    on: set[int],
) -> int | None:
    """The first edge from the k-th on that leads to a state not yet seen; None once all are seen."""
    targets = edges[v]
    for at in range(k, len(targets), 2):
        w = targets[at]
        if w in nodes and w not in order:
            return at
        if w in on:
            low[v] = min(low[v], low[w])
    return None


def _live(walk: Walk) -> set[int]:
    return {i for i, s in enumerate(walk.states) if s.row.status in LIVE}
