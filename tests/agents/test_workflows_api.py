"""/workflows: written, read, loaded, exported, validated, published and compared."""

from __future__ import annotations

import pytest

from agents.models import Version, Workflow
from tests.factories import AgentFactory, ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db

REPLY = """# Answers a question.
name: reply
description: Answers a question.
tags: [support]
state:
  answer: {type: string}   # what was said
nodes:
  - {id: start, kind: start}
  - {id: say, kind: llm, model: fast, prompt: "Antworte freundlich: {{ input.message }}", output: answer}
  - {id: end, kind: end, output: "{{ state.answer }}"}
edges:
  - {from: start, to: say}
  - {from: say, to: end}
"""


@pytest.fixture(autouse=True)
def model(workspace):
    return ChatModelFactory(workspace=workspace, name="fast")


@pytest.fixture
def load(api, alice):
    """`load(text, publish=True)`: as alice, who is an admin."""

    def loaded(definition=REPLY, **more):
        return api(alice).post("/workflows/load", {"definition": definition, **more}, format="json")

    return loaded


def fields(answer) -> list[str]:
    assert answer.status_code == 422, answer.content
    return [entry["field"] for entry in answer.json()["error"]["details"]]


def test_creates_by_name(load):
    answer = load()
    assert (answer.status_code, answer.json()["name"], answer.json()["version"]) == (201, "reply", 1)


def test_updates_by_name(load):
    load()
    answer = load(REPLY.replace("freundlich", "knapp"))
    assert (answer.status_code, answer.json()["version"]) == (200, 2)


def test_writes_nothing_where_nothing_is_new(load):
    load()
    load()
    assert Version.objects.filter(kind="workflow").count() == 1


def test_takes_the_definition_itself(api, alice):
    answer = api(alice).post("/workflows/load", REPLY, content_type="application/yaml")
    assert answer.status_code == 201


@pytest.mark.parametrize("name", ["yaml", "json"])
def test_gives_back_what_was_loaded(api, alice, load, name):
    load()
    before = Version.objects.get(kind="workflow").hash
    exported = api(alice).get("/workflows/reply/export", {"format": name}).content.decode()
    load(exported)
    assert set(Version.objects.filter(kind="workflow").values_list("hash", flat=True)) == {before}


def test_exports_with_comments(api, alice, load):
    load()
    assert api(alice).get("/workflows/reply/export").content.decode() == REPLY


def test_exports_an_older_version(api, alice, load):
    load()
    load(REPLY.replace("freundlich", "knapp"))
    assert api(alice).get("/workflows/reply/export", {"version": 1}).content.decode() == REPLY


def test_empties_what_a_definition_leaves_out(load):
    load()
    answer = load(REPLY.replace("description: Answers a question.\n", "").replace("tags: [support]\n", ""))
    assert (answer.json()["description"], answer.json()["tags"]) == ("", [])


def test_wants_a_name_for_what_is_loaded(load):
    assert fields(load(REPLY.replace("name: reply\n", ""))) == ["document.name"]


def test_names_node_and_field_of_what_is_wrong(load):
    wrong = REPLY.replace("model: fast", "model: slow").replace("output: answer}", "output: anwser}")
    assert fields(load(wrong)) == ["document.nodes.say.model", "document.nodes.say.output"]


def test_creates_from_a_document(api, alice, load):
    document = load().json()["document"]
    answer = api(alice).post("/workflows", {"name": "other", "document": document}, format="json")
    assert (answer.status_code, answer.json()["document"]) == (201, document)


def test_takes_either_document_or_source(api, alice):
    body = {"name": "both", "document": {}, "source": REPLY}
    assert fields(api(alice).post("/workflows", body, format="json")) == ["document"]


def test_takes_back_what_it_answered(api, alice, load):
    shown = load().json()
    answer = api(alice).put("/workflows/reply", shown, format="json")
    assert (answer.status_code, answer.json()["version"]) == (200, 1)


def test_takes_back_a_document_that_was_changed(api, alice, load):
    shown = load().json()
    shown["document"]["nodes"][1]["label"] = "Say it"
    answer = api(alice).put("/workflows/reply", shown, format="json")
    assert answer.json()["document"]["nodes"][1]["label"] == "Say it"


def test_changes_the_description_alone(api, alice, load):
    load()
    answer = api(alice).patch("/workflows/reply", {"description": "Else."}, format="json")
    assert (answer.status_code, answer.json()["description"], answer.json()["version"]) == (200, "Else.", 2)


def test_exports_what_was_changed_by_another_way(api, alice, load):
    load()
    api(alice).patch("/workflows/reply", {"description": "Else."}, format="json")
    assert "description: Else.\n" in api(alice).get("/workflows/reply/export").content.decode()


def test_says_that_nothing_is_wrong(api, alice, load):
    load()
    assert api(alice).post("/workflows/reply/validate", {}, format="json").json() == {
        "valid": True,
        "errors": [],
    }


def test_names_the_line_of_what_is_wrong(api, alice):
    source = REPLY.replace("{{ input.message }}", "{{ input.nope }}")
    [fault] = api(alice).post("/workflows/validate", {"source": source}, format="json").json()["errors"]
    assert (fault["node"], fault["field"], fault["line"]) == ("say", "prompt", 9)


def test_names_the_line_of_text_that_is_no_yaml(api, alice):
    [fault] = (
        api(alice).post("/workflows/validate", {"source": "a: b\nc: [1"}, format="json").json()["errors"]
    )
    assert fault["line"] in (2, 3)


def test_publishes_the_draft(api, alice, load):
    load()
    answer = api(alice).post("/workflows/reply/publish", {}, format="json")
    assert (answer.status_code, answer.json()["published_version"]) == (200, 1)


def test_publishes_what_is_loaded(load):
    assert load(publish=True).json()["published_version"] == 1


def test_rolls_back(api, alice, load):
    load(publish=True)
    load(REPLY.replace("freundlich", "knapp"), publish=True)
    answer = api(alice).post("/workflows/reply/publish", {"version": 1, "replaces": 2}, format="json")
    assert answer.json()["published_version"] == 1


def test_publishes_only_what_takes_the_place_of_what_one_knows(api, alice, load):
    load(publish=True)
    answer = api(alice).post("/workflows/reply/publish", {"replaces": None}, format="json")
    assert (answer.status_code, answer.json()["error"]["details"]) == (409, {"published": 1})


def test_publishes_nothing_that_cannot_run(api, alice, load, model):
    load()
    model.enabled = False
    model.save()
    assert fields(api(alice).post("/workflows/reply/publish", {}, format="json")) == ["nodes.say.model"]


def test_restores_a_version(api, alice, load):
    load()
    load(REPLY.replace("model: fast", "model: fast, max_tokens: 5"))
    api(alice).post("/workflows/reply/versions/1/restore")
    assert api(alice).get("/workflows/reply").json()["source"] == REPLY


def test_compares_two_versions_by_node_and_edge(api, alice, load):
    load(publish=True)
    load(
        REPLY.replace("freundlich", "knapp")
        .replace("  - {id: end", "  - {id: trim, kind: transform, set: {answer: state.answer}}\n  - {id: end")
        .replace("to: end}", "to: trim}\n  - {from: trim, to: end}")
    )
    found = api(alice).get("/workflows/reply/diff").json()
    assert (found["nodes"]["added"], list(found["nodes"]["changed"])) == (["trim"], ["say"])
    assert found["edges"]["removed"] == [{"from": "say", "to": "end"}]


def test_lists_without_documents_in_a_few_queries(api, alice, load, django_assert_max_num_queries):
    for number in range(5):
        load(REPLY.replace("name: reply", f"name: reply{number}"))
    with django_assert_max_num_queries(4):
        answer = api(alice).get("/workflows", {"tag": "support"})
    assert answer.json()["total"] == 5
    assert "document" not in answer.json()["items"][0]


def test_narrows_the_list_to_what_is_published(api, alice, load):
    load(publish=True)
    load(REPLY.replace("name: reply", "name: draft"))
    assert [item["name"] for item in api(alice).get("/workflows", {"published": "true"}).json()["items"]] == [
        "reply"
    ]


def test_keeps_what_a_workflow_calls(api, alice, load):
    load()
    answer = api(alice).delete("/models/fast")
    assert (answer.status_code, answer.json()["error"]["details"]["used_by"]) == (409, ["workflow reply"])


def test_keeps_the_name_that_a_workflow_calls_by(api, alice, load):
    load()
    answer = api(alice).patch("/models/fast", {"name": "faster"}, format="json")
    assert answer.status_code == 409


def test_lets_go_of_what_no_version_calls_any_more(api, alice, load, workspace):
    ChatModelFactory(workspace=workspace, name="other")
    load()
    load(REPLY.replace("model: fast", "model: other"))
    assert api(alice).delete("/models/fast").status_code == 204


def test_keeps_what_the_published_version_calls(api, alice, load, workspace):
    ChatModelFactory(workspace=workspace, name="other")
    load(publish=True)
    load(REPLY.replace("model: fast", "model: other"))
    assert api(alice).delete("/models/fast").status_code == 409


def test_deletes_a_workflow(api, alice, load):
    load(publish=True)
    assert api(alice).delete("/workflows/reply").status_code == 204
    assert not Workflow.objects.exists()


def test_publishes_its_schema(api, alice):
    assert api(alice).get("/workflows/schema").json()["title"] == "agentplatform workflow"


NESTED = """
name: {name}
nodes:
  - {{id: start, kind: start}}
  - {{id: call, kind: workflow, workflow: {other}, input: {{message: "{{{{ input.message }}}}"}}}}
  - {{id: end, kind: end, output: done}}
edges: [{{from: start, to: call}}, {{from: call, to: end}}]
"""


def test_refuses_workflows_that_call_each_other(load):
    load(publish=True)
    assert load(NESTED.format(name="outer", other="reply"), publish=True).status_code == 201
    circle = NESTED.format(name="reply", other="outer")
    assert fields(load(circle)) == ["document.nodes.call.workflow"]


def test_refuses_a_nested_workflow_that_is_not_published(load):
    load()
    assert fields(load(NESTED.format(name="outer", other="reply"))) == ["document.nodes.call.workflow"]


@pytest.mark.parametrize("kind", ["agent", "tool"])
def test_refuses_what_the_workspace_does_not_have(load, other_workspace, kind):
    {"agent": AgentFactory, "tool": ToolFactory}[kind](workspace=other_workspace, name="theirs")
    node = {"agent": "agent: theirs, message: x", "tool": "tool: theirs"}[kind]
    text = NESTED.format(name="asks", other="x").replace(
        'kind: workflow, workflow: x, input: {message: "{{ input.message }}"}', f"kind: {kind}, {node}"
    )
    assert fields(load(text)) == [f"document.nodes.call.{kind}"]
