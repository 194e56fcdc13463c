"""Chat completions that the `openai` client streams: pieces, their end, and what goes wrong on the way."""

from __future__ import annotations

import openai
import pytest

from runs.models import Run
from tests.factories import AgentFactory, ToolFactory
from tests.runs.test_api_chat import followers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pieces(openai_client):
    """`pieces("writer")`: the stream of an agent's answer."""

    def create(model="writer", content="Hello there", **options):
        messages = [{"role": "user", "content": content}]
        return openai_client().chat.completions.create(model=model, messages=messages, stream=True, **options)

    return create


def text_of(stream) -> str:
    return "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices)


def words(count: int) -> str:
    return "".join(f"word{number} " for number in range(count))


def test_streams_all_of_the_answer(pieces, agent_on):
    agent_on("text-20", name="writer")

    assert text_of(pieces()) == words(20)


def test_streams_the_answer_as_it_comes(pieces, agent_on):
    agent_on("text-20-20", name="writer")

    assert len(list(pieces())) > 6


def test_begins_with_the_role(pieces, agent_on):
    agent_on("text-3", name="writer")

    assert next(iter(pieces())).choices[0].delta.role == "assistant"


@pytest.mark.parametrize(("behaviour", "reason"), [("text-3", "stop"), ("length-3", "length")])
def test_ends_with_the_reason(pieces, agent_on, behaviour, reason):
    agent_on(behaviour, name="writer")

    assert list(pieces())[-1].choices[0].finish_reason == reason


def test_names_the_run_in_each_piece(pieces, agent_on):
    agent_on("text-3", name="writer")

    assert {piece.id for piece in pieces()} == {f"chatcmpl-{Run.objects.get().pk}"}


def test_names_the_run_in_a_header(pieces, agent_on):
    agent_on("text-3", name="writer")
    with pieces() as stream:
        list(stream)

    assert stream.response.headers["X-Run-ID"] == str(Run.objects.get().pk)


def test_counts_usage_in_the_end_where_it_is_asked_for(pieces, agent_on):
    agent_on("text-3", name="writer")
    last = list(pieces(stream_options={"include_usage": True}))[-1]

    assert (last.choices, last.usage.total_tokens) == ([], Run.objects.get().total_tokens)


def test_counts_no_usage_otherwise(pieces, agent_on):
    agent_on("text-3", name="writer")

    assert {piece.usage for piece in pieces()} == {None}


def test_streams_thoughts_apart(pieces, agent_on):
    agent_on("reasoning-3", name="writer")

    assert any(getattr(piece.choices[0].delta, "reasoning_content", None) for piece in pieces())


def test_streams_the_answer_after_the_agents_own_tools(pieces, agent):
    assert "391" in text_of(pieces("assistant", "What is 17 * 23?"))


# begun again


def test_says_nothing_twice_when_a_model_call_is_made_again(pieces, agent_on, model_endpoint):
    agent_on("text", name="writer", config={"retries": 1})
    model_endpoint.script("cut-20", "text-20")

    assert text_of(pieces()) == words(20)


def test_ends_with_an_error_where_the_answer_is_another_then(pieces, agent_on, model_endpoint):
    agent_on("text", name="writer", config={"retries": 1})
    model_endpoint.script("cut-20", "echo")
    with pytest.raises(openai.APIError) as broken:
        list(pieces())

    assert broken.value.code == "answer_restarted"


# broken off


def test_lets_the_run_go_on_when_the_client_leaves(pieces, http, alice, agent_on):
    agent_on("text-20-20", name="writer")
    with pieces() as stream:
        next(iter(stream))
    run = Run.objects.get()

    assert http(alice).get(f"/runs/{run.pk}/wait").json()["status"] == "completed"


def test_forgets_a_client_that_has_left(platform, pieces, http, alice, agent_on):
    agent_on("text-20-20", name="writer")
    with pieces() as stream:
        next(iter(stream))
    http(alice).get(f"/runs/{Run.objects.get().pk}/wait")

    assert followers(platform) == 0


def test_ends_with_an_error_when_the_run_is_cancelled(pieces, http, alice, agent_on):
    agent_on("hang", name="writer")

    def cancel(piece):
        http(alice).post(f"/runs/{piece.id.removeprefix('chatcmpl-')}/cancel")

    with pytest.raises(openai.APIError, match="cancelled"):
        list(map(cancel, pieces()))


def test_ends_with_the_error_of_a_failed_run(pieces, agent_on):
    agent_on("error-400", name="writer")
    with pytest.raises(openai.APIError) as failed:
        list(pieces())

    assert (failed.value.code, failed.value.body["run_id"]) == (
        "provider_rejected",
        str(Run.objects.get().pk),
    )


def test_ends_with_an_error_when_a_person_has_to_decide(pieces, workspace):
    calculator = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    AgentFactory(workspace=workspace, name="careful", tools=[calculator])
    with pytest.raises(openai.APIError) as waiting:
        list(pieces("careful", 'call calculator {"expression": "6 * 7"}'))

    assert waiting.value.code == "run_waiting"
