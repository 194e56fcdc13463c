"""Processes that kill themselves at a point of a run's life: `python -m tests.crash.victim`.

Importing the platform takes a second or two, so it is done once; each victim is forked from there, before any thread,
connection or event loop exists. A line of standard input is a batch of orders (`tests.crash.nursery`); the answer is a
line with the fields of `End` for each victim that has ended, in the order of their ends.

A victim is client, web process and worker in one, as in `make run`: it starts a run in a queue of its own, follows it,
steers it as its order says, and executes it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import django
import uvloop

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
django.setup()

from accounts.actor import Actor  # noqa: E402 (Django has to be set up before it)
from accounts.authentication import actor_from_session  # noqa: E402
from accounts.models import User  # noqa: E402
from agentplatform.lib.concurrency import in_thread  # noqa: E402
from agentplatform.lib.errors import Conflict  # noqa: E402
from agents.providers import base as providers  # noqa: E402
from runs import approvals, commands, lifecycle  # noqa: E402
from runs.approvals import Decision  # noqa: E402
from runs.engine import worker as engine  # noqa: E402
from runs.follow import follow  # noqa: E402
from runs.models import Approval, Run  # noqa: E402
from tests.crash.nursery import End, Order  # noqa: E402
from tests.crash.points import Points  # noqa: E402

AT_ONCE = 4
SECONDS = 60


def main() -> None:
    providers.warm_up()
    print("The nursery is ready.", flush=True)
    for line in sys.stdin:
        orders = [Order(**order) for order in json.loads(line)]
        for ended in execute(orders):
            print(json.dumps(asdict(ended)), flush=True)


def execute(orders: list[Order]) -> Iterator[End]:
    """Has the orders executed, a few at a time; how each of the victims has ended."""
    waiting = list(reversed(orders))
    alive: dict[int, tuple[Order, Path]] = {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or alive:
            while waiting and len(alive) < AT_ONCE:
                order = waiting.pop()
                report = Path(folder) / order.name
                alive[fork(order, report)] = order, report
            pid, status = os.wait()
            order, report = alive.pop(pid)
            passed = json.loads(report.read_text()) if report.exists() else []
            yield End(order.name, os.waitstatus_to_exitcode(status), passed)


def fork(order: Order, report: Path) -> int:
    """A victim's process id. It writes the points that it has passed into `report` if it comes to its end."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        report.write_text(json.dumps(live(order)))
        code = 0
    except BaseException as error:
        print(f"{order.name}: {error!r}", file=sys.stderr, flush=True)
    finally:
        # Nothing of the parent's is to be ended or flushed twice.
        os._exit(code)


def live(order: Order) -> list[str]:
    """The victim's whole life; the points that it has passed."""
    # Its own queue: no other victim, and nobody before all are dead, takes its run up.
    engine.QUEUES = [order.name]
    Run._meta.get_field("queue").default = order.name
    points = Points(order.point)
    points.watch()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(order))
    return points.passed


async def work(order: Order) -> None:
    """Starts, follows and steers the run, and executes it beside."""
    async with asyncio.timeout(SECONDS):
        worker = engine.Worker(concurrency=4)
        await worker.start()
        await worker.ready.wait()
        run_id = await in_thread(start, order)
        reactions = dict(order.reactions)
        async for batch in follow(run_id):
            for event in batch:
                if verb := reactions.pop(str(event.type), ""):
                    await in_thread(steer, order, run_id, verb)
        await worker.stop()


def start(order: Order) -> UUID:
    request = commands.RunRequest([{"role": "user", "content": order.text}], agent=order.agent)
    if order.workflow:
        request = commands.RunRequest(workflow=order.workflow, values={"message": order.text})
    return commands.start_run(_actor(order), request).run.id


def steer(order: Order, run_id: UUID, verb: str) -> None:
    """Calls the verb, which comes too late for a run that has ended meanwhile."""
    with suppress(Conflict):
        if verb == "approve":
            asked = Approval.objects.filter(run_id=run_id, status=Approval.Status.PENDING)
            approvals.decide(_actor(order), asked.get().pk, Decision("approve"))
        else:
            getattr(lifecycle, verb)(run_id)


def _actor(order: Order) -> Actor:
    return actor_from_session(User.objects.get(pk=order.user_id), UUID(order.workspace_id))


if __name__ == "__main__":
    main()
