"""The admin of this room: a module for each table that people look at, over what several of them share."""

from runs.admin import approvals, memories, runs, schedules, sessions, webhooks, workers, workflows

__all__ = ["approvals", "memories", "runs", "schedules", "sessions", "webhooks", "workers", "workflows"]
