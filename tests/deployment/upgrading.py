"""Takes a database with the data of an earlier schema to the newest and back: `python -m tests.deployment.upgrading`.

It works on the empty database of DATABASE_URL, and prints a line of JSON: what every column of the earlier schema held
before, after the way forward and after the way back, by table; and what verification and reconciliation have said.
"""

from __future__ import annotations

import io
import json
import os
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 (Django has to be set up before it)
from django.db import connection  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402

from agentplatform.batching import batch_operations  # noqa: E402
from agentplatform.lib.hash_chain import chains, seal_next  # noqa: E402
from agentplatform.lib.ids import uuid7  # noqa: E402

# Names apart from the ledger, runs of workflows; no seals, roll-ups, budgets, figures, memories or knowledge yet.
EARLIER = [
    ("accounts", "0002_run_limits"),
    ("agents", "0004_memory_policy"),
    ("billing", "0004_names_apart"),
    ("runs", "0005_workflow_runs"),
]
BEGAN = datetime(2026, 10, 1, 12, tzinfo=UTC)
RUNS = 20


def migrate(targets: list[tuple[str, str]]) -> Any:
    """The apps as they are then."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(targets)
    batch_operations(plan)
    return executor.migrate(targets, plan).apps


def newest() -> list[tuple[str, str]]:
    return MigrationExecutor(connection).loader.graph.leaf_nodes()


def fill(apps: Any) -> None:
    """People, an agent, conversations with runs and their events, and the ledger's entries of their calls."""
    workspace = apps.get_model("accounts", "Workspace").objects.create(slug="acme", name="Acme")
    user = apps.get_model("accounts", "User").objects.create(username="alice", password="!")
    apps.get_model("accounts", "Membership").objects.create(workspace=workspace, user=user, role="admin")
    secret = apps.get_model("agents", "Secret").objects.create(
        workspace=workspace, value="an API key", hint=""
    )
    model = apps.get_model("agents", "ChatModel").objects.create(
        workspace=workspace, name="gpt", provider="openai", model="gpt-5", secret=secret
    )
    apps.get_model("agents", "Agent").objects.create(
        workspace=workspace, name="helper", model=model, system_prompt="Help."
    )
    for number in range(RUNS):
        add_run(apps, workspace, user, number)


def add_run(apps: Any, workspace: Any, user: Any, number: int) -> None:
    began = BEGAN + timedelta(hours=number)
    session = apps.get_model("runs", "Session").objects.create(workspace=workspace, user=user)
    run = apps.get_model("runs", "Run").objects.create(
        workspace=workspace, session=session, user=user, username="alice", agent_name="helper", status="completed",
        input_query="hello", response_content="你好", created_at=began, started_at=began,
        finished_at=began + timedelta(seconds=3), input_tokens=100, output_tokens=10, cost=Decimal("0.00125"),
        updated_at=began, last_seq=2,
    )  # fmt: skip
    for seq, kind in enumerate(("run_queued", "run_completed"), start=1):
        apps.get_model("runs", "RunEvent").objects.create(
            run=run, seq=seq, attempt=1, node="", type=kind, timestamp=began
        )
    for source, content in (("user", "hello"), ("assistant", "你好")):
        apps.get_model("runs", "Message").objects.create(
            session=session, run=run, source=source, content=content, created_at=began
        )
    call = uuid.uuid4()
    for entry, tokens, cost in (("opened", (0, 0), None), ("settled", (100, 10), Decimal("0.00125"))):
        apps.get_model("billing", "UsageRecord").objects.create(
            id=uuid7(), workspace=workspace, timestamp=began, entry=entry, call_id=call, run_id=run.pk,
            status="open" if entry == "opened" else "completed", session_id=session.pk, agent="helper",
            user_id=user.pk, user="alice", provider="openai", model="gpt-5", requests=1, input_tokens=tokens[0],
            output_tokens=tokens[1], cost=cost,
        )  # fmt: skip


def columns(apps: Any) -> dict[str, list[str]]:
    return {
        model._meta.db_table: [field.column for field in model._meta.local_concrete_fields]
        for model in apps.get_models()
        if model._meta.app_label in dict(EARLIER)
    }


def contents(columns_by_table: dict[str, list[str]]) -> dict[str, list[str]]:
    """The rows of these columns, as text."""
    quote, found = connection.ops.quote_name, {}
    with connection.cursor() as cursor:
        for table, names in columns_by_table.items():
            chosen = ", ".join(map(quote, names))
            cursor.execute(f"SELECT row({chosen})::text FROM {quote(table)} ORDER BY 1")
            found[table] = [row for (row,) in cursor.fetchall()]
    return found


def said_by(command: str) -> str:
    output = io.StringIO()
    with suppress(SystemExit):
        call_command(command, stdout=output)
    return output.getvalue()


def main() -> None:
    apps = migrate(EARLIER)
    fill(apps)
    known = columns(apps)
    before = contents(known)
    migrate(newest())
    for chain in chains.values():
        while seal_next(chain):
            pass
    forward, proofs = contents(known), {name: said_by(name) for name in ("verify_ledger", "reconcile")}
    migrate(EARLIER)
    print(json.dumps({"before": before, "forward": forward, "back": contents(known), **proofs}))


if __name__ == "__main__":
    main()
