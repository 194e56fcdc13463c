"""A workspace's configuration as text: no ids, no times, no secrets, always in the same order."""

from __future__ import annotations

from accounts.actor import Actor
from agents.configuration import text
from agents.configuration.sections import readable, written
from agents.models import Agent


def export(actor: Actor) -> str:
    """All that the actor may read."""
    sections = {
        section.type: {
            name: written(section, document) for name, document in section.documents(actor).items()
        }
        for section in readable(actor)
    }
    return text.write(sections, default_agent(actor))


def default_agent(actor: Actor) -> str | None:
    found = Agent.objects.visible_to(actor).filter(is_default=True)
    return found.values_list("name", flat=True).first()
