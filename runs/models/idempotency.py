"""The keys that keep a repeated request from starting a second run."""

from __future__ import annotations

from datetime import timedelta

from django.db import models

from runs.models.runs import Run


class IdempotencyKey(models.Model):
    """The run that a request with this key made, so that its repeat within LIFETIME returns the same."""

    LIFETIME = timedelta(hours=24)

    id = models.BigAutoField(primary_key=True)
    actor = models.CharField(max_length=64, db_comment="Actor.key")
    workspace = models.ForeignKey(
        "accounts.Workspace", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64, db_comment="SHA-256 of the request's body, hexadecimal")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "actor", "key"], name="idempotency_key_once")
        ]
        db_table_comment = "Idempotency keys of the last 24 hours"

    def __str__(self) -> str:
        return self.key
