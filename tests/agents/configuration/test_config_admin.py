"""The history pages of configurations in the admin, and the page that exports and imports all of them."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from agents import editing
from agents.models import Agent, ChatModel, Secret
from agents.versions import lock
from tests.factories import (
    AgentFactory,
    ChatModelFactory,
    HttpToolFactory,
    McpServerFactory,
    WorkflowFactory,
)

pytestmark = pytest.mark.django_db
TEXT = "models:\n  fast: {provider: demo, model: scripted}\n"


@pytest.fixture
def as_staff(client):
    def sign_in(user):
        user.is_staff = True
        user.save()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def admin(as_staff, olivia):
    return as_staff(olivia)


@pytest.fixture
def model(workspace):
    """A model of two versions."""
    made = ChatModelFactory(workspace=workspace, name="fast", description="the first")
    return editing.save(lock(made), None, {"description": "the second"})


def history(row):
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_history", args=[row.pk])


PAGE = "/admin/agents/version/configuration/"


# --- history ---


@pytest.mark.parametrize(
    "make", [AgentFactory, ChatModelFactory, HttpToolFactory, McpServerFactory, WorkflowFactory]
)
def test_shows_the_versions_of_every_kind(admin, workspace, make):
    assert "v1" in admin.get(history(make(workspace=workspace))).content.decode()


def test_shows_what_differs(admin, model):
    page = admin.get(history(model), {"old": 1, "new": 2}).content.decode()
    assert ("the first" in page, "the second" in page) == (True, True)


def test_restores_a_version(admin, model):
    admin.post(history(model), {"restore": 1, "seen": model.version_id})
    model.refresh_from_db()
    assert (model.description, model.version.number, model.version.author) == ("the first", 3, "olivia")


def test_restores_nothing_over_somebody_elses_change(admin, model):
    seen = model.version_id
    editing.save(lock(model), None, {"description": "the third"})
    admin.post(history(model), {"restore": 1, "seen": seen})
    assert ChatModel.objects.get().description == "the third"


@pytest.mark.parametrize("number", ["9", "", "x", "-1", "99999999999999"])
def test_says_that_there_is_no_such_version(admin, model, number):
    page = admin.post(
        history(model), {"restore": number, "seen": model.version_id}, follow=True
    ).content.decode()
    assert "There is no such version." in page


def test_restores_nothing_for_a_viewer(as_staff, vera, model):
    as_staff(vera).post(history(model), {"restore": 1, "seen": model.version_id})
    assert ChatModel.objects.get().description == "the second"


def test_offers_a_viewer_no_way_back(as_staff, vera, model):
    assert "restore-form" not in as_staff(vera).get(history(model)).content.decode()


def test_hides_the_history_of_another_workspace(as_staff, charlie, model):
    client = as_staff(charlie)
    answers = [
        client.get(history(model)),
        client.post(history(model), {"restore": 1, "seen": model.version_id}),
    ]
    assert ([answer.status_code for answer in answers], ChatModel.objects.get().description) == (
        [404, 404],
        "the second",
    )


# --- the whole ---


def test_exports_a_file(admin, model):
    answer = admin.get(f"{PAGE}export/?workspace=acme")
    assert (answer["Content-Disposition"], "fast" in answer.content.decode()) == (
        'attachment; filename="acme.yaml"',
        True,
    )


def test_exports_no_other_workspace(as_staff, charlie, model):
    assert as_staff(charlie).get(f"{PAGE}export/?workspace=acme").status_code == 403


def test_shows_what_would_change_and_changes_nothing(admin, workspace):
    page = admin.post(PAGE, {"workspace": workspace.pk, "text": TEXT, "act": "try"}).content.decode()
    assert ("This would change" in page, ChatModel.objects.count()) == (True, 0)


def test_imports(admin, workspace):
    page = admin.post(PAGE, {"workspace": workspace.pk, "text": TEXT, "act": "import"}).content.decode()
    assert ("This has changed" in page, ChatModel.objects.get().version.author) == (True, "olivia")


def test_imports_a_file_and_shows_it(admin, workspace):
    file = SimpleUploadedFile("acme.yaml", TEXT.encode())
    page = admin.post(PAGE, {"workspace": workspace.pk, "file": file, "act": "try"}).content.decode()
    assert "provider: demo" in page


def test_says_what_is_wrong_and_where(admin, workspace):
    text = TEXT.replace("demo", "nobody")
    page = admin.post(PAGE, {"workspace": workspace.pk, "text": text, "act": "import"}).content.decode()
    assert ("models.fast.provider" in page, ChatModel.objects.count()) == (True, 0)


def test_deletes_where_it_is_asked_to(admin, workspace, model):
    data = {"workspace": workspace.pk, "text": "models: {}\n", "prune": "on", "act": "import"}
    admin.post(PAGE, data)
    assert ChatModel.objects.count() == 0


def test_takes_secrets_and_never_shows_them(admin, workspace):
    text = TEXT.replace("scripted", "scripted, api_key: '${secret:mine}'")
    data = {"workspace": workspace.pk, "text": text, "secrets": "mine=sk-shown-to-nobody", "act": "import"}
    page = admin.post(PAGE, data).content.decode()
    assert ("sk-shown" in page, Secret.objects.get().value) == (False, "sk-shown-to-nobody")


@pytest.mark.parametrize("wrong", [{"text": ""}, {"workspace": "x"}, {"secrets": "mine"}])
def test_asks_again_where_the_form_is_wrong(admin, workspace, wrong):
    answer = admin.post(PAGE, {"workspace": workspace.pk, "text": TEXT, "act": "import"} | wrong)
    assert (answer.status_code, ChatModel.objects.count()) == (200, 0)


def test_imports_into_no_other_workspace(as_staff, charlie, workspace):
    as_staff(charlie).post(PAGE, {"workspace": workspace.pk, "text": TEXT, "act": "import"})
    assert ChatModel.objects.count() == 0


def test_lets_a_viewer_export_only(as_staff, vera, workspace):
    client = as_staff(vera)
    page = client.get(PAGE).content.decode()
    codes = [client.post(PAGE, {"workspace": workspace.pk, "text": TEXT, "act": "import"}).status_code]
    assert ("acme.yaml" in page, "<textarea" in page, codes, ChatModel.objects.count()) == (
        True,
        False,
        [403],
        0,
    )


def test_is_closed_to_users(as_staff, bob):
    assert as_staff(bob).get(PAGE).status_code == 403


def test_is_found_in_the_sidebar(admin, workspace):
    assert PAGE in admin.get("/admin/").content.decode()


def test_imports_across_workspaces_of_a_superuser(as_staff, alice, other_workspace):
    alice.is_superuser = True
    as_staff(alice).post(PAGE, {"workspace": other_workspace.pk, "text": TEXT, "act": "import"})
    assert (ChatModel.objects.get().workspace, Agent.objects.count()) == (other_workspace, 0)


def test_is_where_one_is_in_the_sidebar(admin, workspace):
    groups = admin.get(PAGE).context["sidebar_navigation"]
    assert [str(item["title"]) for group in groups for item in group["items"] if item["active"]] == [
        "Configuration"
    ]
