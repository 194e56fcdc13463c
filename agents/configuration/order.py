"""In which order components are written, so that each finds what it refers to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from agents.configuration.sections import Json, Reference, registry

Graph = dict[Reference, set[Reference]]
Loose = dict[Reference, set[str]]


def in_order(wanted: Mapping[Reference, Json]) -> tuple[list[Reference], Loose]:
    """The components, what is referred to first, and the fields that have to wait where they refer in a circle.

    Such a field is set in a second round. A circle that no field may be left out of stays as it is: writing it says
    what is wrong with it.
    """
    fields = {
        reference: {
            field: found & wanted.keys() for field, found in registry[reference[0]].needs(document).items()
        }
        for reference, document in wanted.items()
    }
    waiting: Loose = defaultdict(set)
    while True:
        graph: Graph = {
            reference: set[Reference]().union(
                *(found for field, found in needed.items() if field not in waiting[reference])
            )
            - {reference}
            for reference, needed in fields.items()
        }
        try:
            return list(TopologicalSorter(graph).static_order()), {
                reference: found for reference, found in waiting.items() if found
            }
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            _open(circle, fields, waiting)


def _open(
    circle: list[Reference], fields: Mapping[Reference, dict[str, set[Reference]]], waiting: Loose
) -> None:
    """Takes one edge out of a circle: of a loose field, if there is one."""
    edges = sorted(pairwise(circle))
    for source, target in edges:
        for field in registry[source[0]].loose:
            if target in fields[source].get(field, ()) and field not in waiting[source]:
                waiting[source].add(field)
                return
    source, target = edges[0]
    for needed in fields[source].values():
        needed.discard(target)
