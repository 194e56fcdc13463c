"""A run's checkpoints in the admin: with the runs that were forked from them, as a tree; two compared; one forked.

Forks and restored runs hang below the checkpoint that they come from, retries below their run. What is shown is
bounded: runs by `lineage`, checkpoints by MOST_CHECKPOINTS, and those of the run itself come first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from accounts import audit
from accounts.actor import Actor
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.ids import as_uuid
from runs import live
from runs.admin.acts import Acts
from runs.admin.fork_form import ForkForm
from runs.admin.messages import Said, said
from runs.history import branches, checkpoints
from runs.history.lineage import Relative, family_of
from runs.models import Checkpoint, Relation, Run, Status

MOST_CHECKPOINTS = 300
MOST_RUNS = 50
DEEPEST = 30
"""Of a family, those whose checkpoints are read."""


@dataclass(slots=True)
class Leaf:
    """A checkpoint, and the runs that begin at it."""

    checkpoint: Checkpoint
    runs: list[Branch] = field(default_factory=list)


@dataclass(slots=True)
class Branch:
    """A run of the family. `runs` are those that come from it as a whole, or from a checkpoint that is not shown."""

    run: Relative
    is_this: bool
    relation: str
    status: str
    leaves: list[Leaf] = field(default_factory=list)
    runs: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two checkpoints compared: the messages that only one of them has, and all else by its path."""

    old: Checkpoint
    new: Checkpoint
    common: int
    removed: list[Said]
    added: list[Said]
    fields: list[tuple[str, str, str]]


class Branching(Acts):
    """Mixin of the run's admin."""

    actions_detail = ["checkpoints_of_this"]

    def buttons_for(self, run: Run) -> set[str]:
        return super().buttons_for(run) | {"checkpoints_of_this"}

    @action(description=gettext_lazy("Checkpoints"), url_path="to-checkpoints", icon="account_tree")
    def checkpoints_of_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self.row(request, object_id)
        return HttpResponseRedirect(reverse("admin:runs_run_checkpoints", args=[run.pk]))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.checkpoints_view)
        return [path("<uuid:object_id>/checkpoints/", view, name="runs_run_checkpoints"), *super().get_urls()]

    def checkpoints_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """`?old=&new=` compares two, `?fork=` asks what a fork does otherwise, and POST makes it."""
        run = self.row(request, str(object_id))
        actor = self.actor(request, run.workspace_id)
        form, forked = None, None
        if chosen := as_uuid(request.GET.get("fork")):
            forked = _found(actor, chosen)
            _require_fork(actor, forked)
            form = ForkForm(checkpoints.read(forked), request.POST or None)
            if (
                request.method == "POST"
                and form.is_valid()
                and (started := self._fork(request, actor, forked, form))
            ):
                return HttpResponseRedirect(reverse("admin:runs_run_change", args=[started.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Checkpoints of run %(run)s") % {"run": run.pk},
            "original": run,
            "media": self.media,
            "tree": tree_of(actor, run),
            "old": as_uuid(request.GET.get("old")),
            "new": as_uuid(request.GET.get("new")),
            "difference": _difference(actor, request),
            "may_fork": _may_fork(actor, run),
            "form": form,
            "forked": forked,
        }
        return TemplateResponse(request, "admin/runs/checkpoints.html", context)

    def _fork(self, request: HttpRequest, actor: Actor, checkpoint: Checkpoint, form: ForkForm) -> Run | None:
        """None, and said in the form, where it is refused."""
        try:
            started = branches.fork(
                actor, checkpoint.pk, form.cleaned_data["description"], form.modifications
            )
        except PlatformError as error:
            audit.current().is_refused = True
            form.add_error(None, error.message)
            return None
        live.announce(started.events)
        messages.success(request, _("Run %(run)s goes on from the checkpoint.") % {"run": started.run.pk})
        return started.run


def tree_of(actor: Actor, run: Run) -> Branch:
    """The family of a run from its first one, without the runs that tools have started. Four queries."""
    family = [
        one
        for one in family_of(actor, run.pk).runs
        if one.relation != Relation.CHILD or one.parent_id is None or one.id == run.pk
    ]
    shown = {one.id for one in family[:MOST_RUNS]} | {run.pk}
    leaves = _leaves([one for one in shown if one != run.pk], run)
    for one in family:
        # The history that a fork has copied is its source's, where it stands already.
        if one.relation in (Relation.FORK, Relation.RESTORE) and one.parent_id:
            leaves[one.id] = [
                leaf for leaf in leaves.get(one.id, []) if leaf.checkpoint.created_at >= one.created_at
            ]
    nodes = {
        one.id: Branch(
            one,
            one.id == run.pk,
            str(Relation(one.relation).label) if one.relation else "",
            str(Status(one.status).label),
            leaves.get(one.id, []),
        )
        for one in family
    }
    at = {leaf.checkpoint.pk: leaf for own in leaves.values() for leaf in own}
    root = nodes[family[0].id]
    for one in family[1:]:
        node = nodes[one.id]
        home: Any = at.get(one.source_checkpoint_id) if one.source_checkpoint_id else None
        # A template that includes itself cannot go as deep as people can fork.
        near: Any = home or (nodes.get(one.parent_id) if one.parent_id else None)
        (near if near and one.depth <= DEEPEST else root).runs.append(node)
    return root


def _leaves(others: Sequence[UUID], run: Run) -> dict[UUID, list[Leaf]]:
    """Checkpoints by run, the oldest first; of the run itself, and then of its relatives as long as there is room."""
    own = list(checkpoints.of_run(run.pk)[:MOST_CHECKPOINTS])
    rows = Checkpoint.objects.of_people().filter(run_id__in=others).defer("checkpoint", "metadata")
    theirs = list(rows.order_by("-checkpoint_id")[: MOST_CHECKPOINTS - len(own)])
    found: defaultdict[UUID, list[Leaf]] = defaultdict(list)
    for checkpoint in reversed([*own, *theirs]):
        assert checkpoint.run_id
        found[checkpoint.run_id].append(Leaf(checkpoint))
    return found


def _difference(actor: Actor, request: HttpRequest) -> Difference | None:
    keys = [as_uuid(request.GET.get(name)) for name in ("old", "new")]
    if None in keys:
        return None
    old, new = (_found(actor, key) for key in keys)
    compared = checkpoints.compare(checkpoints.read(old), checkpoints.read(new))
    changes = {**compared["state"], **compared["agent_config"], **compared["metrics"]}
    return Difference(
        old,
        new,
        compared["messages"]["common"],
        [said(f"old-{place}", one) for place, one in enumerate(compared["messages"]["removed"])],
        [said(f"new-{place}", one) for place, one in enumerate(compared["messages"]["added"])],
        [(name, _shown(values["old"]), _shown(values["new"])) for name, values in changes.items()],
    )


def _found(actor: Actor, key: object) -> Checkpoint:
    """Raises Http404 for one that the actor may not see."""
    try:
        return checkpoints.find(actor, key)
    except PlatformError as error:
        raise Http404 from error


def _may_fork(actor: Actor, run: Run) -> bool:
    return actor.may("execute:workflow" if run.is_workflow else "execute:agent")


def _require_fork(actor: Actor, checkpoint: Checkpoint) -> None:
    assert checkpoint.run
    if not _may_fork(actor, checkpoint.run):
        raise Http404


def _shown(value: Any) -> str:
    if value is None:
        return "—"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
