"""Workflows: a graph of nodes and edges, drawn as a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models.configurations import Configuration, Kind, Version
from agents.workflows.document import references_of


class Workflow(Configuration):
    """A workflow's draft, and which of its versions is published.

    `document` is what `agents.workflows.document` describes; `source` is the text that it was read from, with its
    comments, as people edit it. The draft's every change is a version; `published` is the one that runs.
    """

    kind = Kind.WORKFLOW
    resource = "Workflow"

    document = models.JSONField(default=dict, db_comment="The draft: {input, state, nodes[], edges[]}")
    source = models.TextField(blank=True, db_comment="The draft as YAML or JSON, as it was written")
    references = ArrayField(
        models.CharField(max_length=120),
        default=list,
        editable=False,
        db_comment="What draft and published version need, as kind:name",
    )
    published = models.ForeignKey(
        Version,
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("published version"),
    )
    published_at = models.DateTimeField(_("published at"), null=True, editable=False)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True, verbose_name=_("tags"))

    class Meta:
        verbose_name = _("workflow")
        verbose_name_plural = _("workflows")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="workflow_name_once")]
        indexes = [
            GinIndex(fields=["tags"], name="workflow_by_tag"),
            # What a model, a tool or an agent is needed by.
            GinIndex(fields=["references"], name="workflow_by_reference"),
        ]
        db_table_comment = "Workflows"

    def needs(self, document: Mapping[str, Any]) -> list[str]:
        """What it refers to with this draft, for `references`."""
        published = [self.published.data["document"]] if self.published else []
        return references_of([document, *published])
