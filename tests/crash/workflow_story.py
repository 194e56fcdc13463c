"""A workflow for the crash suite, and what has to be true of its runs in the end, wherever a process was killed.

Two models are asked side by side, a third in each round of a loop; a tool that may not be repeated waits for a person;
another workflow is called and an agent asked. Each prompt holds the run's message, so the endpoints know whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from runs.models import Relation, Run, RunEvent, RunStep
from tests.agents.http_endpoint import Asked
from tests.crash.proof import Witnesses, faults_of_events, of_children, of_effects, of_state, of_usage
from tests.model_endpoint.replies import last_user_text

INNER = """
name: inner
state: {said: {type: string}}
nodes:
  - {id: start, kind: start}
  - {id: say, kind: llm, model: gpt, prompt: "{{ input.message }}", output: said}
  - {id: end, kind: end, output: "{{ state.said }}"}
edges: [{from: start, to: say}, {from: say, to: end}]
"""
STORY = """
name: story
state:
  said: {type: array, items: {type: string}, reducer: append}
  found: {type: any}
nodes:
  - {id: start, kind: start}
  - {id: fan, kind: parallel, join: merged}
  - {id: left, kind: llm, model: gpt, prompt: "{{ input.message }} left", output: said}
  - {id: right, kind: llm, model: gpt, prompt: "{{ input.message }} right", output: said}
  - {id: merged, kind: join}
  - {id: rounds, kind: loop, while: "true", max: 2}
  - {id: round, kind: llm, model: gpt, prompt: "{{ input.message }} round {{ loops.rounds }}", output: said}
  - {id: notify, kind: tool, tool: notify, arguments: {number: "{{ input.message }}"}, output: found}
  - {id: call, kind: workflow, workflow: inner, input: {message: "{{ input.message }} inner"}, output: said}
  - {id: helper, kind: agent, agent: helper, message: "{{ input.message }} helper", output: said}
  - {id: end, kind: end, output: "said {{ size(state.said) }}"}
edges:
  - {from: start, to: fan}
  - {from: fan, to: left}
  - {from: fan, to: right}
  - {from: left, to: merged}
  - {from: right, to: merged}
  - {from: merged, to: rounds}
  - {from: rounds, to: round, case: body}
  - {from: round, to: rounds}
  - {from: rounds, to: notify, case: done}
  - {from: notify, to: call}
  - {from: call, to: helper}
  - {from: helper, to: end}
"""
PROMPTS = {(2, "left"): "left", (2, "right"): "right", (5, "round"): "round 1", (7, "round"): "round 2"}
STEPS = [
    *[(1, "fan"), (2, "left"), (2, "right"), (3, "merged")],
    *[(4, "rounds"), (5, "round"), (6, "rounds"), (7, "round"), (8, "rounds")],
    *[(9, "notify"), (10, "call"), (11, "helper"), (12, "end")],
]


def all_workflow_faults(witnesses: Witnesses) -> dict[str, list[str]]:
    """What is wrong with each run of the story, and each that it has started, by its query."""
    asked = Counter(last_user_text(request.body) for request in witnesses.model.requests)
    found = {
        run.input_query: list(
            _of_child(run, asked) if run.relation == Relation.CHILD else _of_run(run, asked, witnesses)
        )
        for run in Run.objects.all()
    }
    return {name: wrong for name, wrong in found.items() if wrong}


def effects_of(witnesses: Witnesses, run: Run) -> list[Asked]:
    return [one for one in witnesses.effects.asked if one.path[1:] == run.input_query]


def _of_child(run: Run, asked: Counter[str]) -> Iterator[str]:
    yield from of_state(run)
    yield from faults_of_events(run)
    yield from of_usage(run, asked[run.input_query])


def _of_run(run: Run, asked: Counter[str], witnesses: Witnesses) -> Iterator[str]:
    calls = sum(asked[f"{run.input_query} {prompt}"] for prompt in PROMPTS.values())
    yield from of_state(run)
    yield from faults_of_events(run)
    yield from of_usage(run, calls, at_once=2)
    yield from of_children(run, most=2)
    yield from of_effects(effects_of(witnesses, run))
    if len(effects_of(witnesses, run)) != 1:
        yield f"its effect was asked for {len(effects_of(witnesses, run))} times"
    if run.response_content != "said 6":
        yield f"it has come to {run.response_content!r}"
    yield from _of_steps(run)
    yield from _of_ended_nodes(run, asked)


def _of_steps(run: Run) -> Iterator[str]:
    steps = list(RunStep.objects.filter(run=run).order_by("step_num", "node").values_list("step_num", "node"))
    if steps != STEPS or run.total_steps != STEPS[-1][0]:
        yield f"its steps are {steps}, counted as {run.total_steps}"


def _of_ended_nodes(run: Run, asked: Counter[str]) -> Iterator[str]:
    """A node that has ended is told of once, and its model is not asked again."""
    ended = Counter(
        (event.step, event.node) for event in RunEvent.objects.filter(run=run, type="step_completed")
    )
    if ended != Counter(STEPS):
        yield f"these nodes have ended: {sorted(ended.elements())}"
    first = RunStep.objects.filter(run=run, attempt=1).values_list("step_num", "node")
    for place in set(first) & PROMPTS.keys():
        if (times := asked[f"{run.input_query} {PROMPTS[place]}"]) != 1:
            yield f"{place} had ended in the first attempt, and its model was asked {times} times"
