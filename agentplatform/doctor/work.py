"""Whether work is done: workers that live, a queue that moves, a ledger that is sealed, secrets that open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils import timezone

from accounts.models import Workspace
from agentplatform.doctor.database import REACH
from agentplatform.doctor.examination import Check, Finding, ok, problem, warning
from agentplatform.lib.hash_chain import chains, head, verify
from agentplatform.lib.ids import time_of
from agentplatform.lib.rotation import encrypted_columns, locked_values
from runs.models import Run, Worker
from runs.queueing.figures import figures

LAG_SECONDS, BAD_LAG_SECONDS = 60, 600
UNSEALED_FOR = timedelta(minutes=1)
MOST_WORKSPACES = 200


def look_at_workers() -> Iterator[Finding]:
    alive = list(Worker.objects.alive())
    lost = Worker.objects.count() - len(alive)
    if not alive:
        yield problem("No worker is alive: runs wait in the queue.", "Start manage.py run_worker.")
    if lost > 0:
        yield warning(
            f"{lost} workers have ended without signing off.", "See why in their logs: memory, or SIGKILL."
        )
    if len(alive) == 1:
        yield warning("There is one worker: runs wait while it restarts.", "Start a second one.")
    if len(alive) > 1:
        yield ok(
            f"{len(alive)} workers are alive, with {sum(worker.concurrency for worker in alive)} places."
        )


def look_at_queue() -> Iterator[Finding]:
    now = figures(Run.objects.all())
    waiting, seconds = now["depth"], now["oldest_wait_seconds"] or 0
    if seconds > LAG_SECONDS:
        judge = problem if seconds > BAD_LAG_SECONDS else warning
        yield judge(
            f"{waiting} runs wait, the oldest for {seconds:.0f} seconds.",
            "Start more workers, or raise WORKER_CONCURRENCY.",
        )
    else:
        yield ok(f"{waiting} runs wait, {now['running']} are under way.")


def look_at_seals() -> Iterator[Finding]:
    for name, chain in sorted(chains.items()):
        oldest = (
            chain.unsealed._default_manager.order_by("record_id").values_list("record_id", flat=True).first()
        )
        if oldest and (age := timezone.now() - time_of(oldest)) > UNSEALED_FOR:
            yield warning(
                f"Entries of the {name} wait to be sealed for {age.total_seconds():.0f} seconds.",
                "A worker seals them: see that one is alive.",
            )
        else:
            yield ok(f"The {name} is sealed up to a moment ago.")


def look_at_signatures() -> Iterator[Finding]:
    """Only the end of each chain; `verify_ledger` looks at all of it."""
    for name, chain in sorted(chains.items()):
        for workspace in Workspace.objects.order_by("pk")[:MOST_WORKSPACES]:
            end = head(chain, workspace.pk)
            verdict = verify(chain, workspace.pk, after=end, limit=1) if end.position else None
            if verdict and verdict.fault:
                yield problem(
                    f"The {name} of {workspace.slug} does not end as it was sealed: {verdict.fault}.",
                    "Run manage.py verify_ledger. Where it says unsigned, SECRET_KEY is another one.",
                )
    yield ok("The chains end as they were sealed.")


def look_at_secrets() -> Iterator[Finding]:
    if locked := sum(locked_values(model, name) for model, name in encrypted_columns()):
        yield problem(
            f"No key of FIELD_ENCRYPTION_KEYS opens {locked} of the stored secrets.",
            "Put the key that they were written with back into FIELD_ENCRYPTION_KEYS.",
        )
    else:
        yield ok("All stored secrets can be opened.")


CHECKS = (
    Check("workers", look_at_workers, REACH),
    Check("queue", look_at_queue, REACH),
    Check("ledger.seals", look_at_seals, REACH),
    Check("ledger.signatures", look_at_signatures, REACH),
    Check("secrets", look_at_secrets, REACH),
)
