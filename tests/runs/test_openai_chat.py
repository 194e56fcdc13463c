"""Chat completions as the `openai` client asks for them, over a real socket: answers, and what a run keeps of them."""

from __future__ import annotations

import pytest

from runs.models import Run

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def ask(openai_client):
    """`ask("writer")`: the answer of an agent."""

    def create(model="writer", messages=QUESTION, **options):
        return openai_client().chat.completions.create(model=model, messages=messages, **options)

    return create


@pytest.fixture
def sent(ask, agent_on, model_endpoint):
    """`sent(…)`: what the agent's model is asked for such a completion."""

    def sent(messages=QUESTION, **options):
        agent_on("text-1", name="writer", system_prompt="Be brief.")
        ask("writer", messages, **options)
        return model_endpoint.requests[-1].body

    return sent


# the answer


def test_answers_with_the_agents_words(ask, agent_on):
    agent_on("echo", name="writer")

    assert ask().choices[0].message.content == "Hello there"


def test_finds_an_agent_by_its_id(ask, agent_on):
    agent = agent_on("echo", name="writer")

    assert ask(str(agent.pk)).model == "writer"


@pytest.mark.parametrize(("behaviour", "reason"), [("text-3", "stop"), ("length-3", "length")])
def test_says_why_the_answer_ends(ask, agent_on, behaviour, reason):
    agent_on(behaviour, name="writer")

    assert ask().choices[0].finish_reason == reason


def test_names_the_run(ask, agent_on):
    agent_on("text-3", name="writer")

    assert ask().id == f"chatcmpl-{Run.objects.get().pk}"


def test_names_the_run_in_a_header(openai_client, agent_on):
    agent_on("text-3", name="writer")
    answer = openai_client().chat.completions.with_raw_response.create(model="writer", messages=QUESTION)

    assert answer.headers["X-Run-ID"] == str(Run.objects.get().pk)


def test_counts_what_was_used(ask, agent_on):
    agent_on("text-3", name="writer")
    usage, run = ask().usage, Run.objects.get()

    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (
        run.input_tokens,
        run.output_tokens,
        run.total_tokens,
    )


def test_shows_the_models_thought(ask, agent_on):
    agent_on("reasoning-3", name="writer")

    assert ask().choices[0].message.reasoning_content


def test_calls_the_agents_own_tools(ask, agent):
    answer = ask("assistant", [{"role": "user", "content": "What is 17 * 23?"}])

    assert "391" in answer.choices[0].message.content


def test_keeps_its_own_tool_calls_to_itself(ask, agent):
    answer = ask("assistant", [{"role": "user", "content": "What is 17 * 23?"}])

    assert answer.choices[0].message.tool_calls is None


# what it takes


def test_shows_the_model_the_whole_conversation(sent):
    messages = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Three"},
    ]

    assert sent(messages)["messages"][1:] == messages


@pytest.mark.parametrize("role", ["system", "developer"])
def test_puts_instructions_behind_the_agents_own(sent, role):
    body = sent([{"role": role, "content": "Speak French."}, *QUESTION])

    assert [message["content"] for message in body["messages"]] == [
        "Be brief.",
        "Speak French.",
        "Hello there",
    ]


def test_takes_a_content_of_several_texts(sent):
    parts = [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]

    assert sent([{"role": "user", "content": parts}])["messages"][-1]["content"] == "Hello\nthere"


SCHEMA = {"type": "json_schema", "json_schema": {"name": "one", "schema": {"type": "object"}}}
CHOSEN = {"temperature": 0.25, "top_p": 0.5, "seed": 7, "stop": ["."], "presence_penalty": 1.0}


@pytest.mark.parametrize("response_format", [{"type": "json_object"}, SCHEMA])
def test_hands_parameters_to_the_model(sent, response_format):
    chosen = CHOSEN | {"response_format": response_format}

    assert chosen.items() <= sent(**chosen).items()


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limits_the_answer(sent, name):
    assert sent(**{name: 12})["max_tokens"] == 12


def test_takes_one_stop_for_a_list(sent):
    assert sent(stop=".")["stop"] == ["."]


SAYS_NOTHING = {
    **{"n": 1, "logprobs": False, "store": True, "service_tier": "auto", "modalities": ["text"], "tools": []},
    **{"response_format": {"type": "text"}, "parallel_tool_calls": True, "safety_identifier": "someone"},
    **{"temperature": None, "stream_options": None, "prompt_cache_key": "one"},
}


def test_takes_what_says_nothing(ask, agent_on):
    agent_on("text-1", name="writer")

    assert ask(**SAYS_NOTHING).choices[0].finish_reason == "stop"


# the run


def test_keeps_the_conversation_with_the_run(ask, http, alice, agent_on):
    agent_on("text-1", name="writer")
    ask(messages=[{"role": "developer", "content": "Be kind."}, *QUESTION])
    run = http(alice).get(f"/runs/{Run.objects.get().pk}").json()

    assert run["input"]["messages"] == [{"role": "system", "content": "Be kind."}, *QUESTION]


def test_is_found_by_the_last_words_of_the_user(ask, agent_on):
    agent_on("text-1", name="writer")
    ask(messages=[*QUESTION, {"role": "assistant", "content": "Well"}])

    assert Run.objects.get().input_query == "Hello there"


def test_records_end_user_and_metadata(ask, agent_on):
    agent_on("text-1", name="writer")
    ask(user="customer-81", metadata={"order": "7"})
    run = Run.objects.get()

    assert (run.end_user, run.metadata) == ("customer-81", {"order": "7"})


def test_records_the_key(ask, agent_on):
    agent_on("text-1", name="writer")
    ask()

    assert Run.objects.get().api_key_name


def test_can_be_tried_again(ask, http, alice, agent_on, workspace):
    agent_on("echo", name="writer")
    ask(response_format={"type": "json_object"})
    again = http(alice).post(f"/runs/{Run.objects.get().pk}/retry").json()["run_id"]

    assert http(alice).get(f"/runs/{again}/wait").json()["response_content"] == "Hello there"
