"""POST /checkpoints/{id}/fork: what a fork is made of, and what is refused. How it runs: test_branches.py."""

from __future__ import annotations

import pytest

from agents.versions import record
from runs.models import Checkpoint, CheckpointBlob, Run
from tests.factories import ApiKeyFactory, ChatModelFactory, CheckpointFactory, SessionFactory
from tests.runs.states import ANSWER, ASKS, MESSAGES, QUESTION, RESULT, run_with_states, state


@pytest.fixture
def source(alice, agent):
    """A completed run with all that can be passed on."""
    session = SessionFactory(workspace=agent.workspace, user=alice, agent=agent)
    return run_with_states(
        alice,
        agent,
        session=session,
        end_user="customer",
        config={"temperature": 0.5},
        limits={"timeout": 60},
        metadata={"order": 7},
        tags=["shop"],
        priority=3,
    )


@pytest.fixture
def fork(api, alice, source):
    """`fork(step=1, modified_query="…")`: the answer to a fork with these modifications."""

    def post(step=2, caller=alice, description="", **modifications):
        body = {"description": description, "modifications": modifications}
        return api(caller).post(f"/checkpoints/{state(source, step).pk}/fork", body)

    return post


@pytest.fixture
def forked(fork):
    """`forked(…)`: the new run."""
    return lambda **wishes: Run.objects.get(pk=fork(**wishes).json()["new_run_id"])


def field(refused) -> tuple[int, str]:
    return refused.status_code, refused.json()["error"]["details"][0]["field"]


# what it is


def test_answers_the_new_run_and_where_it_comes_from(fork, source):
    answer = fork()
    new = Run.objects.exclude(pk=source.pk).get()

    assert (answer.status_code, answer.json()) == (
        202,
        {
            "new_run_id": str(new.pk),
            "checkpoint_id": str(state(source, 2).pk),
            "message": "The fork is queued.",
        },
    )


def test_links_it_to_its_source(api, alice, forked, source):
    shown = api(alice).get(f"/runs/{forked(description='Once more').pk}").json()

    assert {
        name: shown[name] for name in ("parent_id", "relation", "source_checkpoint_id", "description")
    } == {
        "parent_id": str(source.pk),
        "relation": "fork",
        "source_checkpoint_id": str(state(source, 2).pk),
        "description": "Once more",
    }


def test_shows_the_same_in_the_list(api, alice, forked):
    forked(description="Once more")

    assert api(alice).get("/runs").json()["items"][0]["description"] == "Once more"


@pytest.mark.parametrize(
    "name",
    [
        *("agent_id", "agent_name", "agent_version_id", "model_id", "pins", "end_user", "config", "limits"),
        *("metadata", "tags", "priority", "queue", "currency", "input", "input_query"),
    ],
)
def test_is_asked_for_what_its_source_was(forked, source, name):
    assert getattr(forked(), name) == getattr(source, name)


def test_is_in_no_session(forked):
    assert forked().session_id is None


def test_belongs_to_whoever_forks(forked, source, olivia):
    assert forked(caller=olivia).username == "olivia"


def test_remembers_the_key_that_it_was_forked_with(forked, alice, workspace):
    key = ApiKeyFactory(workspace=workspace, user=alice, name="robot")

    assert forked(caller=key).api_key_name == "robot"


def test_uses_the_versions_of_its_source(forked, source, agent):
    agent.system_prompt = "Edited since"
    agent.save()
    record(agent, None, "updated")

    assert forked().agent_version_id == source.agent_version_id


# its history


def test_has_the_history_up_to_the_checkpoint(forked):
    new = forked(step=1)

    assert (
        new.total_steps,
        new.steps.count(),
        sorted(new.checkpoints.values_list("step_num", flat=True)),
    ) == (
        1,
        1,
        [0, 1],
    )


def test_has_the_values_in_a_thread_of_its_own(forked):
    new = forked(step=1)

    assert CheckpointBlob.objects.filter(thread_id=str(new.pk)).count() == 2


def test_shows_the_same_states(api, alice, forked, source):
    new = forked(step=2)
    ids = [state(run, 2).pk for run in (source, new)]
    shown, copied = (api(alice).get(f"/checkpoints/{key}").json() for key in ids)

    own = ("id", "run_id", "parent_id")
    assert {**shown, **dict.fromkeys(own)} == {**copied, **dict.fromkeys(own)}


def test_begins_at_a_persons_own_checkpoint_too(api, alice, source):
    kept = (
        api(alice).post(f"/runs/{source.pk}/checkpoints", {"description": "Here", "tags": ["x"]}).json()["id"]
    )
    new = api(alice).post(f"/checkpoints/{kept}/fork", {"modifications": {"modified_query": "And 2 * 3?"}})
    copies = Checkpoint.objects.filter(run_id=new.json()["new_run_id"])

    assert sorted(copies.values_list("step_num", "manual", "description")) == [
        *((step, False, "") for step in (0, 1, 2, 3)),
        (3, False, ""),
    ]


def test_leaves_out_what_its_source_has_left_aside(api, alice, agent):
    run = run_with_states(alice, agent, status="paused")
    api(alice).post(f"/checkpoints/{state(run, 1).pk}/restore", {"create_new_run": False})
    head = run.checkpoints.latest("checkpoint_id")
    new = api(alice).post(f"/checkpoints/{head.pk}/fork").json()["new_run_id"]

    assert sorted(Checkpoint.objects.filter(run_id=new).values_list("step_num", flat=True)) == [0, 1, 1]


# modifications


def test_replaces_the_last_query(forked):
    new = forked(modified_query="What is 2 * 3?")

    assert (new.input, new.input_query) == (
        {"messages": [{"role": "user", "content": "What is 2 * 3?"}], "replaces": "last_query"},
        "What is 2 * 3?",
    )


def test_replaces_all_messages(forked):
    new = forked(messages=[QUESTION, ASKS, RESULT])

    assert (new.input, new.input_query) == (
        {"messages": [QUESTION, ASKS, RESULT], "replaces": "all"},
        QUESTION["content"],
    )


def test_does_not_replace_again_what_its_source_has_replaced(api, alice, forked):
    first = forked(messages=[QUESTION])
    new = api(alice).post(f"/checkpoints/{state(first, 2).pk}/fork").json()["new_run_id"]

    assert Run.objects.get(pk=new).input == {"messages": [QUESTION]}


def test_overrides_the_system_prompt(forked):
    assert forked(system_prompt="Be brief.").overrides == {"system_prompt": "Be brief."}


def test_overrides_the_model_with_its_fallbacks_as_they_are_now(forked, workspace, agent):
    fallback = ChatModelFactory(workspace=workspace)
    other = ChatModelFactory(workspace=workspace, name="other", fallbacks=[fallback])
    new = forked(model="other")

    assert (new.model_id, new.overrides) == (other.pk, {"model": "other", "model_id": str(other.pk)})
    assert new.pins == [other.version_id, fallback.version_id, agent.tools.get().version_id]


def test_puts_its_config_over_the_sources(forked):
    assert forked(config={"max_steps": 2}).config == {"temperature": 0.5, "max_steps": 2}


def test_passes_overrides_on(api, alice, forked):
    first = forked(system_prompt="Be brief.")
    body = {"modifications": {"config": {"max_steps": 2}}}
    new = api(alice).post(f"/checkpoints/{state(first, 2).pk}/fork", body).json()["new_run_id"]

    assert Run.objects.get(pk=new).overrides == {"system_prompt": "Be brief."}


# what is refused


def test_refuses_a_fork_that_has_nothing_left_to_do(fork):
    assert field(fork(step=3, system_prompt="Be brief.")) == (422, "modifications")


@pytest.mark.parametrize("changed", [{"modified_query": "And 2 * 3?"}, {"messages": [QUESTION]}])
def test_goes_on_from_an_answer_with_something_new(fork, changed):
    assert fork(step=3, **changed).status_code == 202


def test_replaces_either_the_query_or_all_messages(fork):
    refused = fork(messages=[QUESTION], modified_query="And 2 * 3?")

    assert field(refused) == (422, "modifications.modified_query")


def test_needs_a_query_that_it_can_replace(api, alice, source):
    greeting = CheckpointFactory(
        run=source, step_num=4, messages=[{"role": "assistant", "content": "Hello!"}]
    )
    body = {"modifications": {"modified_query": "And 2 * 3?"}}
    refused = api(alice).post(f"/checkpoints/{greeting.pk}/fork", body)

    assert field(refused) == (422, "modifications.modified_query")


OTHER_CALL = {**RESULT, "tool_call_id": "call_2"}


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([], "messages"),
        ([QUESTION, ANSWER], "messages"),
        ([QUESTION, ASKS], "messages"),
        ([QUESTION, RESULT], "messages"),
        ([QUESTION, ASKS, OTHER_CALL], "messages"),
        ([QUESTION, ASKS, QUESTION], "messages"),
        ([{"role": "robot", "content": "x"}], "messages.0.role"),
        ([{"role": "user", "content": " "}], "messages.0.content"),
        ([QUESTION, {"role": "assistant", "content": ""}, QUESTION], "messages.1.content"),
        ([{**QUESTION, "tool_calls": []}], "messages.0.tool_calls"),
        ([{"role": "tool", "content": "x"}], "messages.0.tool_call_id"),
        ([{**QUESTION, "name": "bob"}], "messages.0.name"),
    ],
)
def test_refuses_messages_from_which_no_model_goes_on(fork, messages, where):
    assert field(fork(messages=messages)) == (422, f"modifications.{where}")


@pytest.mark.parametrize(
    ("modifications", "where"),
    [
        ({"model": "unknown"}, "model"),
        ({"config": {"max_steps": 0}}, "config.max_steps"),
        ({"modified_query": ""}, "modified_query"),
        ({"tools": []}, "tools"),
    ],
)
def test_names_what_is_wrong(fork, modifications, where):
    assert field(fork(**modifications)) == (422, f"modifications.{where}")


def test_does_not_use_a_model_that_is_disabled(fork, workspace):
    ChatModelFactory(workspace=workspace, name="other", enabled=False)

    assert fork(model="other").json()["error"]["type"] == "InvalidConfig"


def test_does_not_use_a_model_of_another_workspace(fork, other_workspace):
    foreign = ChatModelFactory(workspace=other_workspace)

    assert field(fork(model=str(foreign.pk))) == (422, "modifications.model")


@pytest.mark.parametrize("part", ["agent", "model", "tool"])
def test_does_not_go_on_with_what_was_disabled_since(fork, agent, part):
    disabled = {"agent": agent, "model": agent.model, "tool": agent.tools.get()}[part]
    type(disabled).objects.filter(pk=disabled.pk).update(enabled=False)

    assert fork().json()["error"]["type"] == "InvalidConfig"


def test_does_not_go_on_without_the_agent(fork, agent):
    agent.delete()

    assert fork().json()["error"]["type"] == "AgentNotFound"


@pytest.mark.parametrize(("name", "status"), [("vera", 403), ("bob", 404), ("audrey", 403), ("charlie", 404)])
def test_is_made_by_those_who_may_execute_and_read_the_source(fork, name, status, request):
    assert fork(caller=request.getfixturevalue(name)).status_code == status


def test_leaves_nothing_where_it_is_refused(fork, workspace):
    ChatModelFactory(workspace=workspace, name="other", enabled=False)
    fork(model="other")

    assert Run.objects.count() == 1


def test_shows_messages_that_may_be_sent_back(api, alice, fork, source):
    shown = api(alice).get(f"/checkpoints/{state(source, 2).pk}").json()["messages"]

    assert (shown, fork(messages=shown).status_code) == (MESSAGES[:3], 202)
