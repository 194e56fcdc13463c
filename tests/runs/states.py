"""A run of alice's with the states that it has gone through, made without a worker."""

from __future__ import annotations

from accounts.models import User
from agents.models import Agent
from runs.models import Checkpoint, Run
from tests.factories import CheckpointFactory, RunFactory, RunStepFactory

QUESTION = {"role": "user", "content": "What is 17 * 23?"}
CALL = {"id": "call_1", "name": "calculator", "args": {"expression": "17 * 23"}}
ASKS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {
    "role": "tool",
    "content": "391",
    "tool_call_id": "call_1",
    "name": "calculator",
    "status": "success",
}
ANSWER = {"role": "assistant", "content": "17 * 23 is 391."}
MESSAGES = [QUESTION, ASKS, RESULT, ANSWER]


def run_with_states(user: User, agent: Agent, **values: object) -> Run:
    """A run of a model call, a tool call and the answer, with a checkpoint at its start and after each step."""
    values = {"total_steps": 3, "pins": pins_of(agent)} | values
    run = RunFactory(workspace=agent.workspace, user=user, agent=agent, **values)
    parent = ""
    for number in range(4):
        if number:
            RunStepFactory(
                run=run, type="tool" if number == 2 else "model", node="tools" if number == 2 else "model"
            )
        parent = CheckpointFactory(
            run=run,
            step_num=number,
            messages=MESSAGES[: number + 1],
            total_tokens=10 * number,
            parent_checkpoint_id=parent,
        ).checkpoint_id
    return run


def pins_of(agent: Agent) -> list[object]:
    return [agent.model.version_id, *agent.tools.values_list("version_id", flat=True)]


def state(run: Run, step: int) -> Checkpoint:
    """The run's checkpoint after a step; 0: at its start."""
    return run.checkpoints.get(step_num=step, manual=False)
