"""The versions of messages: what else was said at their place in the conversation.

A question's are the questions of the turns that follow the same turn; turns that only asked again count as one. An
answer's are those to the same question.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from runs.models import Message, Relation, Run, Status


@dataclass(slots=True)
class Turn:
    """A run at its place; `asks_again` is the one at the same place whose question it repeats."""

    id: uuid.UUID
    asks_again: uuid.UUID | None
    messages: list[uuid.UUID] = field(default_factory=list)


Place = dict[uuid.UUID, Turn]


def find_variants(messages: Sequence[Message]) -> None:
    """Gives each message its `variants`: ids, the oldest first, its own among them. Three queries, however many."""
    places = _places({message.run_id for message in messages if message.run_id})
    for message in messages:
        place = places.get(message.run_id) if message.run_id else None
        message.variants = _variants(message, place) if place else [message.pk]  # type: ignore[attr-defined]


def _places(run_ids: set[uuid.UUID]) -> dict[uuid.UUID, Place]:
    """By run: the turns at its place, where there are several."""
    own = Run.objects.filter(pk__in=run_ids).exclude(status=Status.CREATED)
    places = set(own.values_list("session_id", "previous_id")) if run_ids else set()
    previous = {turn for _, turn in places if turn}
    begun = {session for session, turn in places if session and not turn}
    found: defaultdict[tuple[uuid.UUID | None, uuid.UUID | None], Place] = defaultdict(dict)
    if places:
        at_places = Run.objects.filter(
            Q(previous__in=previous) | Q(previous__isnull=True, session__in=begun)
        ).exclude(status=Status.CREATED)
        columns = ("pk", "session_id", "previous_id", "parent_id", "relation")
        for key, session, turn, parent, relation in at_places.order_by("created_at", "pk").values_list(
            *columns
        ):
            found[session, turn][key] = Turn(key, parent if relation == Relation.RETRY else None)
    crowded = {key: place for place in found.values() if len(place) > 1 for key in place}
    if crowded:
        said = Message.objects.filter(run__in=crowded).order_by("created_at", "id")
        for key, message in said.values_list("run_id", "pk"):
            crowded[key][key].messages.append(message)
    return crowded


def _variants(message: Message, place: Place) -> list[uuid.UUID]:
    assert message.run_id
    own = place[message.run_id]
    if not own.messages or message.pk == own.messages[0]:
        return [message.pk if own in turns else turns[-1].messages[0] for turns in _questions(place)]
    same = next(turns for turns in _questions(place) if own in turns)
    answered = [turn for turn in same if len(turn.messages) > 1]
    return [message.pk if turn is own else turn.messages[-1] for turn in answered]


def _questions(place: Place) -> Iterator[list[Turn]]:
    """The turns that ask the same, together."""
    found: defaultdict[uuid.UUID, list[Turn]] = defaultdict(list)
    for turn in place.values():
        if turn.messages:
            found[_asked_first(turn, place)].append(turn)
    yield from found.values()


def _asked_first(turn: Turn, place: Place) -> uuid.UUID:
    while turn.asks_again in place:
        turn = place[turn.asks_again]
    return turn.id
