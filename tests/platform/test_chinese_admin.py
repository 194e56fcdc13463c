"""The admin's lists speak Chinese as its pages do: names of models, columns, filters, states."""

from __future__ import annotations

import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.test import RequestFactory
from django.utils import translation

from tests.factories import ToolFactory, UsageRecordFactory, UserFactory
from tests.runs.admin_support import signed_in

ROOMS = {"accounts", "agents", "billing", "runs"}
OWN = [found for model, found in admin.site._registry.items() if model._meta.app_label in ROOMS]
# What Chinese writes in Latin letters too.
LATIN = {"", "Token"}
CATALOGUE = Path(__file__).resolve().parent.parent.parent / "locale/zh_Hans/LC_MESSAGES"


def is_chinese(text: object) -> bool:
    return str(text) in LATIN or any("\u4e00" <= letter <= "\u9fff" for letter in str(text))


def shown_fields(model_admin):
    """The fields of the form as a superuser gets it, but the hidden ones; none where nothing is filled in."""
    request = RequestFactory().get("/")
    request.user = UserFactory.build(is_superuser=True)
    if not (model_admin.has_add_permission(request) or model_admin.has_change_permission(request)):
        return {}
    form = model_admin.get_form(request)
    return {name: field for name, field in form.base_fields.items() if not field.widget.is_hidden}


@pytest.fixture(autouse=True)
def _chinese():
    with translation.override("zh-hans"):
        yield


@pytest.mark.parametrize("model_admin", OWN, ids=str)
def test_names_the_model(model_admin):
    options = model_admin.opts
    assert is_chinese(options.verbose_name)
    assert is_chinese(options.verbose_name_plural)


@pytest.mark.parametrize("model_admin", OWN, ids=str)
def test_names_the_columns(model_admin):
    labels = [label_for_field(name, model_admin.model, model_admin) for name in model_admin.list_display]
    assert [str(label) for label in labels if not is_chinese(label)] == []


@pytest.mark.parametrize("model_admin", OWN, ids=str)
def test_names_the_filters_and_the_groups_of_fields(model_admin):
    fields = [name for name in model_admin.list_filter if isinstance(name, str)]
    names = [model_admin.opts.get_field(name).verbose_name for name in fields]
    names += [found.title for found in model_admin.list_filter if not isinstance(found, str)]
    names += [title for title, _ in model_admin.fieldsets or () if title]
    assert [str(name) for name in names if not is_chinese(name)] == []


@pytest.mark.parametrize("model_admin", OWN, ids=str)
def test_names_and_explains_the_fields_of_forms(db, model_admin):
    fields = shown_fields(model_admin)
    texts = [text for field in fields.values() for text in (field.label, field.help_text)]
    assert [str(text) for text in texts if not is_chinese(text)] == []


def test_names_kinds_and_outcomes(audrey, olivia, workspace):
    UsageRecordFactory(workspace=workspace)
    ToolFactory(workspace=workspace)
    chinese = {"accept-language": "zh-CN"}
    usage = signed_in(audrey).get("/admin/billing/usagerecord/", headers=chinese).content.decode()
    tools = signed_in(olivia).get("/admin/agents/tool/", headers=chinese).content.decode()
    assert ("成功" in usage, "函数" in tools) == (True, True)


def test_says_it_in_english_too(audrey, workspace):
    UsageRecordFactory(workspace=workspace)
    english = {"accept-language": "en"}
    page = signed_in(audrey).get("/admin/billing/usagerecord/", headers=english).content.decode()
    assert "usage record" in page
    assert "用量" not in page


def test_leaves_the_api_english(api, olivia, workspace):
    ToolFactory(workspace=workspace, name="taken")
    clash = {"name": "taken", "kind": "function", "function": "calculator"}
    refused = api(olivia).post("/tools", clash, headers={"accept-language": "zh-CN"}).json()["error"]
    assert not is_chinese(refused["message"])


def test_is_compiled():
    """What the platform reads is what people edit: `manage.py compilemessages` makes one from the other."""
    catalogue = (CATALOGUE / "django.po").read_text().replace('\\"', "\0")
    found = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', catalogue, re.MULTILINE)
    written = [(message.replace("\0", '"'), text.replace("\0", '"')) for message, text in found]
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    assert [message for message, text in written if compiled.gettext(message) != text] == []
    assert len(written) > 200
