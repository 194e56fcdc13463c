"""A workspace's configuration as text: no ids, no times, no secrets, always in the same order."""

from __future__ import annotations

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agents.configuration import text
from agents.configuration.sections import readable, written
from agents.models import Agent


def export(actor: Actor) -> str:
    """All that the actor may read. It is told, for it leaves the platform."""
    audit.record(Action.EXPORTED, audit.Thing("Configuration", workspace_id=actor.workspace_id), actor=actor)
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
