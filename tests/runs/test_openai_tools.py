"""Tools that a client of the OpenAI-compatible endpoints makes itself, beside those of the agent."""

from __future__ import annotations

import json

import pytest

from runs.models import Run, RunStep
from runs.protocols.openai.earlier import call_id
from tests.factories import RunFactory, RunStepFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks an order up.",
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
        },
    },
}
OTHER = {"type": "function", "function": {"name": "other"}}
QUESTION = {"role": "user", "content": 'call look_up {"number": 81}'}


@pytest.fixture
def assistant(agent_on, workspace):
    """An agent with a calculator of its own, which does what its user says."""
    calculator = ToolFactory(workspace=workspace, name="calculator")
    return agent_on("text-3", name="assistant", tools=[calculator])


@pytest.fixture
def ask(openai_client, assistant):
    """`ask([QUESTION])`: the assistant's answer to a client that has a tool `look_up`."""

    def create(messages, **options):
        options = {"model": "assistant", "tools": [LOOK_UP]} | options
        return openai_client().chat.completions.create(messages=messages, **options)

    return create


def answered(answer, *results) -> list:
    """The conversation that goes on with the results of the answer's calls."""
    said = answer.choices[0].message
    return [
        said.model_dump(exclude_none=True),
        *(
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(said.tool_calls, results, strict=True)
        ),
    ]


# called


def test_passes_a_call_through(ask):
    [call] = ask([QUESTION]).choices[0].message.tool_calls

    assert (call.function.name, json.loads(call.function.arguments)) == ("look_up", {"number": 81})


def test_passes_a_call_through_for_an_agent_without_tools(ask, agent_on):
    agent_on("text-3", name="bare")
    answer = ask([QUESTION], model="bare")

    assert answer.choices[0].message.tool_calls[0].function.name == "look_up"


def test_says_that_it_waits_for_tools(ask):
    assert ask([QUESTION]).choices[0].finish_reason == "tool_calls"


def test_passes_several_calls_through(ask):
    content = f"{QUESTION['content']}\n{QUESTION['content']}"

    assert len(ask([{"role": "user", "content": content}]).choices[0].message.tool_calls) == 2


def test_passes_one_call_through_where_no_more_are_wanted(ask):
    content = f"{QUESTION['content']}\n{QUESTION['content']}"
    answer = ask([{"role": "user", "content": content}], parallel_tool_calls=False)

    assert len(answer.choices[0].message.tool_calls) == 1


def test_streams_calls(ask):
    pieces = list(ask([QUESTION], stream=True))
    [call] = [call for piece in pieces for call in piece.choices[0].delta.tool_calls or ()]

    assert (call.index, call.type, call.function.name, json.loads(call.function.arguments)) == (
        0,
        "function",
        "look_up",
        {"number": 81},
    )


def test_ends_the_stream_with_the_reason(ask):
    assert list(ask([QUESTION], stream=True))[-1].choices[0].finish_reason == "tool_calls"


def test_completes_the_run(ask):
    ask([QUESTION])

    assert Run.objects.get().status == "completed"


def test_makes_no_call_itself(ask):
    ask([QUESTION])

    assert [step.type for step in RunStep.objects.all()] == ["model"]


def test_leaves_the_agents_own_tools_to_the_agent(ask):
    answer = ask([{"role": "user", "content": 'call calculator {"expression": "6 * 7"}'}])

    assert answer.choices[0].message.content == "The tool said: 42"


def test_leaves_out_calls_of_both_kinds_in_one_message(ask):
    content = f'call calculator {{"expression": "6 * 7"}}\n{QUESTION["content"]}'
    [call] = ask([{"role": "user", "content": content}]).choices[0].message.tool_calls

    assert call.function.name == "look_up"


def test_answers_without_tools_where_none_is_to_be_called(ask):
    assert ask([QUESTION], tool_choice="none").choices[0].finish_reason == "stop"


# what the model is told


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("required", "required"),
        (
            {"type": "function", "function": {"name": "look_up"}},
            {"type": "function", "function": {"name": "look_up"}},
        ),
    ],
    ids=["auto", "required", "one"],
)
def test_tells_the_model_which_to_choose(ask, model_endpoint, choice, sent):
    ask([QUESTION], tool_choice=choice)

    assert model_endpoint.requests[-1].body.get("tool_choice") == sent


def test_offers_both_kinds_to_the_model(ask, model_endpoint):
    ask([QUESTION], tools=[LOOK_UP, OTHER])
    offered = [tool["function"]["name"] for tool in model_endpoint.requests[-1].body["tools"]]

    assert offered == ["calculator", "look_up", "other"]


def test_offers_the_tool_as_it_was_sent(ask, model_endpoint):
    ask([QUESTION])

    assert model_endpoint.requests[-1].body["tools"][-1] == LOOK_UP


# answered


def test_goes_on_with_the_results(ask):
    first = ask([QUESTION])
    second = ask([QUESTION, *answered(first, "It has been sent.")])

    assert second.choices[0].message.content == "The tool said: It has been sent."


def test_goes_on_with_the_results_in_a_stream(ask):
    first = ask([QUESTION])
    pieces = ask([QUESTION, *answered(first, "It has been sent.")], stream=True)

    assert (
        "".join(piece.choices[0].delta.content or "" for piece in pieces)
        == "The tool said: It has been sent."
    )


def test_keeps_calls_and_results_with_the_run(ask, http, alice):
    first = ask([QUESTION])
    ask([QUESTION, *answered(first, "It has been sent.")])
    run = http(alice).get(f"/runs/{Run.objects.latest('id').pk}").json()

    assert run["input"]["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": first.choices[0].message.tool_calls[0].id, "name": "look_up", "args": {"number": 81}}
            ],
        },
        {
            "role": "tool",
            "content": "It has been sent.",
            "tool_call_id": first.choices[0].message.tool_calls[0].id,
            "name": "look_up",
        },
    ]


def test_remembers_what_the_agents_own_tools_had_said_before(ask, model_endpoint):
    question = {"role": "user", "content": "6 * 7"}
    model_endpoint.script("tool", "call-look_up")
    first = ask([question])
    ask([question, *answered(first, "It has been sent.")])
    sent = model_endpoint.requests[-1].body["messages"]

    assert [(message["role"], message.get("content")) for message in sent] == [
        ("user", "6 * 7"),
        ("assistant", None),
        ("tool", "42"),
        ("assistant", None),
        ("tool", "It has been sent."),
    ]


def test_remembers_nothing_of_somebody_elses_run(ask, openai_client, bob, model_endpoint):
    question = {"role": "user", "content": "6 * 7"}
    model_endpoint.script("tool", "call-look_up")
    messages = [question, *answered(ask([question]), "It has been sent.")]
    openai_client(bob).chat.completions.create(model="assistant", messages=messages, tools=[LOOK_UP])

    contents = [message.get("content") for message in model_endpoint.requests[-1].body["messages"]]
    assert "42" not in contents


def test_remembers_once_what_a_conversation_names_twice(ask, model_endpoint):
    question = {"role": "user", "content": "6 * 7"}
    model_endpoint.script("tool", "call-look_up")
    twice = answered(ask([question]), "It has been sent.") * 2
    ask([question, *twice])

    assert [message.get("content") for message in model_endpoint.requests[-1].body["messages"]].count(
        "42"
    ) == 1


def test_remembers_nothing_of_a_run_that_has_said_nothing(ask, workspace, alice):
    run = RunFactory(workspace=workspace, user=alice, status="failed")
    RunStepFactory(run=run, messages=[])
    call = {"id": call_id(run.pk, 0), "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    conversation = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "It has been sent."},
    ]

    assert ask(conversation).choices[0].message.content == "The tool said: It has been sent."


def test_takes_a_conversation_that_another_platform_began(ask):
    call = {"id": "call_abc", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    conversation = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_abc", "content": "It has been sent."},
    ]

    assert ask(conversation).choices[0].message.content == "The tool said: It has been sent."


# later


def test_is_offered_again_when_the_run_is_tried_again(ask, http, alice):
    ask([QUESTION])
    again = http(alice).post(f"/runs/{Run.objects.get().pk}/retry").json()["run_id"]
    http(alice).get(f"/runs/{again}/wait")

    assert RunStep.objects.get(run_id=again).messages[-1]["tool_calls"][0]["name"] == "look_up"


def test_is_offered_again_when_another_attempt_goes_on(ask, platform, agent_on, model_endpoint):
    model_endpoint.script("slow-20-50", "slow-20-50")
    pieces = ask([QUESTION], stream=True)
    next(pieces)
    while not platform.worker.executor.running:
        pass
    platform.loop.call_soon_threadsafe(platform.worker.executor.give_up_all)
    last = list(pieces)[-1]

    assert (last.choices[0].finish_reason, Run.objects.get().attempt) == ("tool_calls", 2)
