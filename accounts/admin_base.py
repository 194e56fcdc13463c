"""The base of every room's admin: memberships decide, and nobody sees over the tenant wall.

    @admin.register(Tool)
    class ToolAdmin(TenantModelAdmin):
        permission_resource = "tool"
        list_display = ["name", "tool_kind", "enabled", "workspace"]
        inlines = [SomeInline]                       # class SomeInline(TenantInline, TabularInline)

- `is_staff` opens the admin's door and nothing else. What somebody may do inside follows from the role in
  each workspace: viewing needs `read:tool`, adding and changing `write:tool`, deleting `delete:tool`. A
  permission that `accounts.roles` does not know is nobody's: `permission_resource = "run"` makes runs
  read-only by itself. Superusers have all permissions everywhere.
- Rows are those of `visible_to(actor)` for each membership. Foreign keys, many-to-many fields,
  autocompletes and filters offer only rows that may be read, and a form refuses rows of another workspace
  than the object's.
- The field `workspace` is added to each form by itself: chosen when an object is made, fixed afterwards.
- A `PlatformError` that the domain raises in a form or an action is shown as a message.
- An action narrows its query set first, `for run in self.permitted(request, queryset, "control:run")`, and
  hands `self.actor(request, run.workspace_id)` to the domain's verb. To show it only to those who may:
  `@action(permissions=["control"])`, with a method `has_control_permission(self, request, obj=None)` that
  answers `self.may(request, "control:run", obj)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin import RelatedFieldListFilter, ShowFacets
from django.contrib.admin.utils import flatten_fieldsets, get_fields_from_path
from django.db.models import Field, JSONField, Model, QuerySet
from django.forms.models import InlineForeignKeyField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from accounts import audit
from accounts.actor import Actor
from accounts.admin_reach import Reach, reach
from accounts.audit.pages import Audited
from accounts.models import User, Workspace
from accounts.saved_filters import filters_of
from accounts.tenancy import TenantModel
from agentplatform.lib.admin_lists import CappedPaginator
from agentplatform.lib.admin_rows import QuickRows
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.json import Indented

__all__ = ["Reach", "SaysErrors", "TenantAccess", "TenantForm", "TenantInline", "TenantModelAdmin", "reach"]


class TenantForm(forms.ModelForm):
    """A form whose object and chosen rows all belong to one workspace."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        home = self._home(cleaned)
        for name, value in list(cleaned.items()):
            if any(row.workspace_id != home for row in tenant_rows(value)):
                self.add_error(name, _("Choose from the same workspace."))
        return cleaned

    def _home(self, cleaned: dict[str, Any]) -> UUID | None:
        """The workspace of the object; an inline's that has none is its parent's."""
        if workspace := cleaned.get("workspace"):
            return workspace.pk
        if hasattr(self.instance, "workspace_id"):
            return self.instance.workspace_id
        parents = (
            field.parent_instance
            for field in self.fields.values()
            if isinstance(field, InlineForeignKeyField)
        )
        return next((row.workspace_id for parent in parents for row in tenant_rows(parent)), None)


def tenant_rows(value: object) -> Iterator[TenantModel]:
    """The tenant rows that a form field's value consists of."""
    for row in value if isinstance(value, QuerySet | list) else [value]:
        if isinstance(row, TenantModel):
            yield row


class TenantAccess:
    """Mixin: admin permissions from memberships, and choices from inside the tenant wall."""

    permission_resource: str
    form: type[forms.ModelForm] = TenantForm

    def may(self, request: HttpRequest, permission: str, obj: Model | str | None = None) -> bool:
        """Whether the user has a permission in the object's workspace, or anywhere without an object.

        The object may be given by its id, as unfold does for the actions of a change page.
        """
        if obj is None:
            return reach(request).may(permission)
        row = obj if isinstance(obj, Model) else self.get_object(request, obj)  # type: ignore[attr-defined]
        workspace_id = getattr(row, "workspace_id", getattr(row, "pk", None))
        return workspace_id is not None and reach(request).may(permission, workspace_id)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, f"read:{self.permission_resource}")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, f"read:{self.permission_resource}", obj)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, f"write:{self.permission_resource}", obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, f"write:{self.permission_resource}", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, f"delete:{self.permission_resource}", obj)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        """What a foreign key or many-to-many field offers."""
        model = db_field.remote_field.model
        if issubclass(model, TenantModel):
            return reach(request).rows(model._default_manager.all(), f"read:{resource_of(self, model)}")
        if model is Workspace:
            return reach(request).workspaces(f"write:{self.permission_resource}")
        if model is User and not reach(request).is_superuser:
            return User.objects.filter(memberships__workspace__in=reach(request).actors).distinct()
        return super().get_field_queryset(db, db_field, request)  # type: ignore[misc]


def resource_of(asking: Any, model: type[Model]) -> str:
    """The permission resource of a related model: its admin's, otherwise that of the admin that asks."""
    registered = asking.admin_site._registry.get(model)
    return getattr(registered, "permission_resource", asking.permission_resource)


class WithinTheWall(RelatedFieldListFilter):
    """A filter by related rows that offers those that may be read."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        if field.remote_field.model is Workspace:
            rows: Any = reach(request).workspaces(f"read:{model_admin.permission_resource}")
        else:
            rows = model_admin.get_field_queryset(None, field, request)
        limit = {} if rows is None else {"pk__in": rows.values("pk")}
        return field.get_choices(include_blank=False, limit_choices_to=limit)


class SaysErrors(Audited):
    """Mixin: what the domain refuses in a form or an action is said to the user, and nothing is saved; what is saved is
    in the audit log.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._said(request, super().changeform_view, *args, **kwargs)  # type: ignore[misc]

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._said(request, super().changelist_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._said(request, super().delete_view, *args, **kwargs)  # type: ignore[misc]

    def _said(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except PlatformError as error:
            if request.method != "POST":
                raise
            audit.current().is_refused = True
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())


class TenantInline(TenantAccess):
    """Mixin of inlines under a tenant object; put it before unfold's StackedInline or TabularInline."""


class TenantModelAdmin(TenantAccess, SaysErrors, QuickRows, ModelAdmin):
    """See the module's docstring."""

    list_before_template = "admin/saved_filters.html"
    # No list counts a whole table, however large it has become.
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        shown = filters_of(request, self) if request.method == "GET" else {}
        return super().changelist_view(request, extra_context={**shown, **(extra_context or {})})

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if isinstance(db_field, JSONField):
            options.setdefault("encoder", Indented)
        return super().formfield_for_dbfield(db_field, request, **options)

    def get_queryset(self, request: HttpRequest) -> Any:
        return reach(request).rows(super().get_queryset(request), f"read:{self.permission_resource}")

    def permitted(self, request: HttpRequest, queryset: Any, permission: str) -> Any:
        """The rows of an action's query set on which the user has a permission."""
        return reach(request).rows(queryset, permission)

    def actor(self, request: HttpRequest, workspace_id: UUID) -> Actor:
        """Who the user is in a workspace, for the domain's verbs. Raises Django's PermissionDenied."""
        return reach(request).actor(workspace_id)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fieldsets = list(super().get_fieldsets(request, obj))
        if "workspace" in flatten_fieldsets(fieldsets):
            return fieldsets
        return [(None, {"fields": ["workspace"]}), *fieldsets]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = list(super().get_readonly_fields(request, obj))
        return fields if obj is None or "workspace" in fields else [*fields, "workspace"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A user with a single workspace need not choose it."""
        initial = super().get_changeform_initial_data(request)
        workspaces = list(reach(request).workspaces(f"write:{self.permission_resource}")[:2])
        return {"workspace": workspaces[0].pk, **initial} if len(workspaces) == 1 else initial

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Filters by related rows offer those that may be read, so none of a foreign workspace."""
        return [self._within_the_wall(item) for item in super().get_list_filter(request)]

    def _within_the_wall(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        field: Field[Any, Any] = get_fields_from_path(self.model, item)[-1]
        return (item, WithinTheWall) if field.is_relation else item
