"""CONFIG_DIR, export_config and import_config: configuration that stands in files."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from agents.configuration.folder import load_configured
from agents.models import Agent, ChatModel, Tool, Version
from runs.models import Schedule
from tests.factories import AgentFactory, ChatModelFactory

pytestmark = pytest.mark.django_db

FAST = "type: model\nname: fast\nprovider: demo\nmodel: scripted\n"
SHOP = "agents:\n  shop:\n    model: fast\n"


@pytest.fixture
def folder(tmp_path, settings, workspace):
    settings.CONFIG_DIR = str(tmp_path)
    settings.CONFIG_WORKSPACE = "acme"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "fast.yaml").write_text(FAST)
    (tmp_path / "agents.yml").write_text(SHOP)
    return tmp_path


@pytest.fixture
def problems(monkeypatch):
    """What is logged as left out: (file, line, field)."""
    found = []

    class Logger:
        def error(self, event, **more):
            found.append((more["file"].rpartition("/")[2], more["line"], more["field"]))

        def exception(self, event, **more):
            found.append(("", None, more["reason"]))

        def info(self, event, **more):
            pass

    monkeypatch.setattr("agents.configuration.folder.logger", Logger())
    return found


# --- at the start ---


def test_loads_all_files_of_the_folder(folder):
    load_configured()
    assert Agent.objects.get().model.name == "fast"


def test_changes_nothing_at_the_next_start(folder):
    for _ in range(2):
        load_configured()
    assert Version.objects.count() == 2


def test_wins_over_what_was_changed_since(folder):
    load_configured()
    ChatModel.objects.update(description="by hand")
    load_configured()
    assert ChatModel.objects.get().description == ""


def test_keeps_what_no_file_has(folder, workspace):
    ChatModelFactory(workspace=workspace, name="other")
    load_configured()
    assert ChatModel.objects.count() == 2


def test_names_its_author(folder):
    load_configured()
    assert set(Version.objects.values_list("author", flat=True)) == {"CONFIG_DIR"}


def test_names_file_line_and_field_and_loads_the_rest(folder, problems):
    (folder / "tools.yaml").write_text("tools:\n  calc:\n    kind: function\n    function: nothing\n")
    load_configured()
    assert (problems, Agent.objects.count(), Tool.objects.count()) == (
        [("tools.yaml", 4, "tools.calc.function")],
        1,
        0,
    )


def test_leaves_out_a_file_that_cannot_be_read(folder, problems):
    (folder / "broken.yaml").write_text("models:\n  a: [\n")
    load_configured()
    assert (problems[0][:2], Agent.objects.count()) == (("broken.yaml", 3), 1)


def test_leaves_out_a_file_that_is_no_text(folder, problems):
    (folder / "broken.yaml").write_bytes(b"\xff\xfe\x00")
    load_configured()
    assert (problems[0][0], Agent.objects.count()) == ("broken.yaml", 1)


def test_leaves_out_what_needs_what_is_left_out(folder, problems):
    (folder / "models" / "fast.yaml").write_text(FAST.replace("demo", "nobody"))
    load_configured()
    assert problems == [("fast.yaml", 3, "provider"), ("agents.yml", 2, "agents.shop")]


def test_names_the_second_file_of_the_same_component(folder, problems):
    (folder / "models" / "other.yaml").write_text(f"\n{FAST}")
    load_configured()
    assert (problems[0][0], ChatModel.objects.count()) == ("other.yaml", 1)


def test_passes_over_hidden_and_other_files(folder, problems):
    (folder / ".hidden.yaml").write_text("[")
    (folder / "README.md").write_text("[")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.yaml").write_text("[")
    load_configured()
    assert problems == []


def test_takes_secrets_from_the_environment(folder, monkeypatch):
    (folder / "models" / "fast.yaml").write_text(FAST + "api_key: ${secret:model/fast/api_key}\n")
    monkeypatch.setenv("CONFIG_SECRET_MODEL_FAST_API_KEY", "sk-of-the-environment")
    for _ in range(2):
        load_configured()
    assert (ChatModel.objects.get().secret.value, Version.objects.filter(kind="model").count()) == (
        "sk-of-the-environment",
        1,
    )


def test_takes_no_other_variable_of_the_environment(folder, problems, monkeypatch):
    (folder / "models" / "fast.yaml").write_text(FAST + "api_key: ${secret:SECRET_KEY}\n")
    monkeypatch.setenv("SECRET_KEY", "the platform's own")
    load_configured()
    assert problems[0] == ("fast.yaml", 5, "api_key")


def test_takes_the_only_workspace_where_none_is_named(folder, settings):
    settings.CONFIG_WORKSPACE = ""
    load_configured()
    assert Agent.objects.count() == 1


@pytest.mark.parametrize("slug", ["", "nobodys"])
def test_says_that_it_needs_a_workspace(folder, settings, problems, other_workspace, slug):
    settings.CONFIG_WORKSPACE = slug
    load_configured()
    assert ("CONFIG_WORKSPACE" in problems[0][2], Agent.objects.count()) == (True, 0)


def test_says_that_there_is_no_folder(folder, settings, problems):
    settings.CONFIG_DIR = str(folder / "gone")
    load_configured()
    assert problems == [("gone", None, "")]


def test_does_nothing_unless_it_is_set(settings, problems):
    settings.CONFIG_DIR = ""
    load_configured()
    assert problems == []


# --- commands ---


def run(name, *arguments):
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def test_exports_what_it_imports(folder, other_workspace):
    run("import_config", str(folder), "--workspace", "acme")
    text = run("export_config", "--workspace", "acme")
    (folder / "all.yaml").write_text(text)
    run("import_config", str(folder / "all.yaml"), "--workspace", "other")
    assert run("export_config", "--workspace", "other") == text


def test_exports_into_a_file(folder):
    run("import_config", str(folder), "--workspace", "acme")
    run("export_config", "--workspace", "acme", "--output", str(folder / "all.yaml"))
    assert "shop" in (folder / "all.yaml").read_text()


def test_says_what_has_changed(folder):
    assert run("import_config", str(folder), "--workspace", "acme").splitlines() == [
        "+ model fast",
        "+ agent shop",
        "2 were created, 0 were updated, 0 were deleted, 0 are unchanged.",
    ]


def test_says_what_would_change(folder, workspace):
    ChatModelFactory(workspace=workspace, name="fast", description="old", parameters={})
    said = run("import_config", str(folder), "--workspace", "acme", "--dry-run")
    assert ('    description: "old" → ""' in said, Agent.objects.count()) == (True, 0)


def test_deletes_with_prune_only(folder, workspace):
    AgentFactory(workspace=workspace, name="other", model=ChatModelFactory(workspace=workspace, name="spare"))
    run("import_config", str(folder), "--workspace", "acme", "--prune")
    assert list(Agent.objects.values_list("name", flat=True)) == ["shop"]


def test_changes_nothing_where_a_file_is_wrong(folder):
    (folder / "broken.yaml").write_text("models:\n  a: {provider: nobody, model: x}\n")
    with pytest.raises(CommandError, match=r"broken.yaml:2: models.a.provider: .*\nNothing was changed."):
        run("import_config", str(folder), "--workspace", "acme")
    assert ChatModel.objects.count() == 0


def test_names_a_user_as_the_author(folder, alice):
    (folder / "schedules.yaml").write_text(
        "schedules:\n  daily: {agent: shop, cron: '0 7 * * *', input: Hello}\n"
    )
    run("import_config", str(folder), "--workspace", "acme", "--user", "alice")
    assert (Schedule.objects.get().user, set(Version.objects.values_list("author", flat=True))) == (
        alice,
        {"alice"},
    )


def test_asks_for_a_user_who_owns_schedules(folder):
    (folder / "schedules.yaml").write_text(
        "schedules:\n  daily: {agent: shop, cron: '0 7 * * *', input: Hello}\n"
    )
    with pytest.raises(CommandError, match=r"schedules.yaml:2: schedules.daily: .*name a user"):
        run("import_config", str(folder), "--workspace", "acme")


def test_permits_a_user_what_the_role_permits(folder, vera):
    with pytest.raises(CommandError, match="permission"):
        run("import_config", str(folder), "--workspace", "acme", "--user", "vera")


@pytest.mark.parametrize(
    "arguments",
    [
        ("export_config", "--workspace", "nobodys"),
        ("import_config", "x", "--workspace", "nobodys"),
        ("import_config", "x", "--workspace", "acme"),
        ("import_config", "x", "--workspace", "acme", "--user", "nobody"),
    ],
)
def test_says_what_there_is_not(workspace, arguments):
    with pytest.raises(CommandError, match="There is no"):
        run(*arguments)
