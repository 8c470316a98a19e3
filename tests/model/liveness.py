"""Liveness: every order ends.

L1: from every state a final one can be reached, without faults and without the client.
L2: no endless run without faults avoids the final states, if each step that stays possible is taken
at some time (strong fairness).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TypeAlias

from tests.model.explore import StateGraph
from tests.model.state import LIVE

Edges: TypeAlias = "list[array[int]]"


def stuck(graph: StateGraph) -> list[int]:
    """Return the live states that can't reach a final one (L1)."""
    live = _live(graph)
    predecessors: dict[int, list[int]] = {}
    for index in live:
        for target in graph.edges[index][::2]:
            predecessors.setdefault(target, []).append(index)
    ending = set(range(len(graph.states))) - live
    todo = list(ending)
    while todo:
        new = [index for index in predecessors.get(todo.pop(), ()) if index not in ending]
        ending.update(new)
        todo.extend(new)
    return sorted(live - ending)


def endless(graph: StateGraph) -> list[tuple[int, set[int]]]:
    """Return the sets of live states in which a fair run may stay (L2).

    Each is (one of its states, the labels of the steps within it).
    """
    todo = [_live(graph)]
    loops = []
    while todo:
        for part in components(todo.pop(), graph.edges):
            inside = _labels_inside(part, graph.edges)
            unfair = {node for node in part if not inside.issuperset(graph.edges[node][1::2])}
            if inside and unfair:
                todo.append(part - unfair)  # a run that stays must avoid these for ever
            elif inside:
                loops.append((min(part), inside))
    return loops


def _labels_inside(part: set[int], edges: Edges) -> set[int]:
    """Return the labels of the steps that lead from a set of states to the same set."""
    return {
        edges[node][position + 1]
        for node in part
        for position in range(0, len(edges[node]), 2)
        if edges[node][position] in part
    }


def components(nodes: set[int], edges: Edges) -> Iterator[set[int]]:
    """Yield the strongly connected components of a set of states: Tarjan's, without recursion.

    https://en.wikipedia.org/wiki/Tarjan%27s_strongly_connected_components_algorithm
    """
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in nodes:
        work = [] if root in order else [(root, 0)]
        while work:
            node, position = work.pop()
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                on_stack.add(node)
            deeper = _descend(node, position, nodes, edges, order, low, on_stack)
            if deeper is not None:
                work += [(node, deeper), (edges[node][deeper], 0)]
            elif low[node] == order[node]:
                part: set[int] = set()
                while node not in part:
                    part.add(stack.pop())
                on_stack -= part
                yield part


def _descend(
    node: int,
    start: int,
    nodes: set[int],
    edges: Edges,
    order: dict[int, int],
    low: dict[int, int],
    on_stack: set[int],
) -> int | None:
    """Return the position of the first edge that leads to a new state, or None.

    Args:
        node: the state whose edges are followed.
        start: the position of the first edge to follow.
        nodes: the states that count.
        edges: of all states.
        order, low, on_stack: the bookkeeping of Tarjan's algorithm; `low` is updated.
    """
    targets = edges[node]
    for position in range(start, len(targets), 2):
        target = targets[position]
        if target in nodes and target not in order:
            return position
        if target in on_stack:
            low[node] = min(low[node], low[target])
    return None


def _live(graph: StateGraph) -> set[int]:
    return {index for index, state in enumerate(graph.states) if state.row.status in LIVE}
