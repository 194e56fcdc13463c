"""Users, workspaces and API keys in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, AuthenticationForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import audit
from accounts.actor import OwnLimits
from accounts.admin_base import SaysErrors, TenantAccess, TenantForm, TenantInline, TenantModelAdmin, reach
from accounts.admin_confirmation import MOST_AT_ONCE, confirmation, is_confirmed
from accounts.api_keys import create_key, revoke_keys
from accounts.audit import Action
from accounts.audit.admin import AuditEntryAdmin
from accounts.members import keeping_an_admin, remove_member, workspaces_led_by
from accounts.models import ApiKey, Membership, User, Workspace
from accounts.oauth.models import ProviderAccount
from accounts.roles import PERMISSIONS, Role
from accounts.security.admin import SecurityEventAdmin
from accounts.sign_in import SlowedDown
from accounts.workspaces import keep_currency
from agentplatform.lib.errors import Conflict, Invalid

# These pages register themselves.
__all__ = ["AuditEntryAdmin", "SecurityEventAdmin"]

# Groups grant nothing here, and tokens are nobody's to look at.
for model in (Group, OutstandingToken, BlacklistedToken):
    admin.site.unregister(model)


LIMITS = ("requests_per_minute", "open_requests")
LIMIT_HELP = _("Empty: as the platform's settings say. 0: any number.")


class SignInForm(SlowedDown, AuthenticationForm):
    """The admin's sign-in."""


admin.site.login_form = SignInForm


class MembershipOfUserInline(TabularInline):
    """Where a user belongs; changed on the workspace's page."""

    model = Membership
    fields = ["workspace", "role", "created_at"]
    readonly_fields = fields
    extra = 0
    hide_title = True
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ProviderAccountOfUserInline(TabularInline):
    """Which accounts elsewhere a user signs in with; removing one ends that, until its address is matched anew."""

    model = ProviderAccount
    fields = ["provider", "subject", "created_at"]
    readonly_fields = fields
    extra = 0
    hide_title = True

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(SaysErrors, DjangoUserAdmin, ModelAdmin):
    """Accounts, for superusers. What a user may do is said by its memberships."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = [MembershipOfUserInline, ProviderAccountOfUserInline]
    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    filter_horizontal = ()
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = (
        (None, {"fields": ["username", "password"]}),
        (_("Person"), {"fields": ["first_name", "last_name", "email"]}),
        (_("Access"), {"fields": ["is_active", "is_staff", "is_superuser"]}),
        (_("Limits"), {"fields": LIMITS}),
        (_("Times"), {"fields": ["last_login", "date_joined"]}),
    )

    def audit_thing(self, obj: Any) -> audit.Thing:
        return audit.account(obj)

    def audit_change(self, action: Action, obj: Any, before: Any, after: Any) -> None:
        """In each of the user's workspaces."""
        audit.record_of_account(action, obj, is_by_user=False, before=before, after=after)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_module_permission(request)

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> Any:
        return self.inlines if obj else []

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        with keeping_an_admin(*workspaces_led_by(obj)):
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        with keeping_an_admin(*workspaces_led_by(obj)):
            obj.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with keeping_an_admin(*workspaces_led_by(*queryset)):
            queryset.delete()


class MemberInline(TenantInline, TabularInline):
    """Who belongs to the workspace, and as what."""

    model = Membership
    permission_resource = "member"
    fields = ["user", "role", "created_at"]
    readonly_fields = ["created_at"]
    extra = 0
    hide_title = True

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "write:member", obj)

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        """Only superusers may look through all users; others choose from those they know."""
        return ["user"] if reach(request).is_superuser else []

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user")


class WorkspaceForm(forms.ModelForm):
    """A workspace, checked as in the API."""

    class Meta:
        help_texts = {
            "max_concurrent_runs": _("Empty: as many as the platform's settings say. 0: any number."),
            **dict.fromkeys(LIMITS, LIMIT_HELP),
            "kept_checkpoints": _("Of each run that has ended, the newest. Empty: all."),
        }

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"]
        if not self.instance._state.adding:
            try:
                keep_currency(self.instance, currency)
            except Invalid as error:
                raise ValidationError(error.details[0]["message"]) from error
        return currency


@admin.register(Workspace)
class WorkspaceAdmin(TenantAccess, SaysErrors, ModelAdmin):
    """Tenants. Whoever makes one is its admin."""

    permission_resource = "member"
    form = WorkspaceForm
    inlines = [MemberInline]
    list_display = ["slug", "name", "currency", "member_count", "created_at"]
    search_fields = ["slug", "name"]
    readonly_fields = ["created_at"]
    fieldsets = (
        (None, {"fields": ["slug", "name", "currency", "time_zone"]}),
        (_("Limits"), {"fields": ["max_concurrent_runs", *LIMITS]}),
        (_("What is kept"), {"fields": ["kept_checkpoints", "audits_reads", "created_at"]}),
    )

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "write:workspace")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "write:workspace", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return reach(request).is_superuser

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        visible = reach(request).workspaces("read:member")
        return visible.annotate(members_counted=Count("memberships")).order_by("slug")

    @admin.display(description=_("members"), ordering="members_counted")
    def member_count(self, workspace: Any) -> int:
        return workspace.members_counted

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> Any:
        return self.inlines if obj else []

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """The limits protect the other tenants from this one, so they are not its own admin's to raise."""
        fixed = [] if obj is None else ["slug"]
        limits = [] if reach(request).is_superuser else ["max_concurrent_runs", *LIMITS]
        return [*self.readonly_fields, *fixed, *limits]

    def audit_thing(self, obj: Any) -> audit.Thing:
        return audit.thing(obj)._replace(workspace_id=obj.pk)

    def save_model(self, request: HttpRequest, obj: Workspace, form: forms.ModelForm, change: bool) -> None:
        obj.save()
        if not change:
            owner: Any = request.user
            own = Membership.objects.create(workspace=obj, user=owner, role=Role.ADMIN)
            audit.record(Action.CREATED, audit.member(own), after={"role": own.role})

    def save_formset(self, request: HttpRequest, form: forms.ModelForm, formset: Any, change: bool) -> None:
        with keeping_an_admin(form.instance.pk):
            formset.save(commit=False)
            roles = dict(Membership.objects.filter(workspace=form.instance.pk).values_list("pk", "role"))
            for membership in [*formset.new_objects, *(row for row, _ in formset.changed_objects)]:
                before = {"role": roles[membership.pk]} if membership.pk in roles else None
                membership.save()
                action = Action.UPDATED if before else Action.CREATED
                audit.record(action, audit.member(membership), before=before, after={"role": membership.role})
            for membership in formset.deleted_objects:
                remove_member(membership)


class ApiKeyForm(TenantForm):
    """A key's scopes as boxes to tick."""

    scopes = forms.MultipleChoiceField(
        choices=[(name, name) for name in sorted(PERMISSIONS)],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label=_("Scopes"),
        help_text=_("What the key is narrowed to. None: all that your role may do."),
    )

    class Meta:
        help_texts = dict.fromkeys(LIMITS, LIMIT_HELP)


@admin.register(ApiKey)
class ApiKeyAdmin(TenantModelAdmin):
    """API keys: one's own, and everybody's for those who manage members. Made, looked at, revoked."""

    permission_resource = "api-key"
    form = ApiKeyForm
    actions = ["revoke"]
    list_display = ["name", "prefix", "user", "workspace", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["workspace", "user"]
    list_select_related = ["user", "workspace"]
    search_fields = ["name", "prefix", "user__username"]
    add_fieldsets = ((None, {"fields": ["workspace", "name", "expires_at", *LIMITS, "scopes"]}),)
    fieldsets = (
        (None, {"fields": ["workspace", "name", "prefix", "user", "scopes"]}),
        (_("Limits"), {"fields": LIMITS}),
        (_("Times"), {"fields": ["created_at", "expires_at", "last_used_at", "revoked_at"]}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Of a key that exists only its limits can be changed."""
        if obj is None:
            return super().get_readonly_fields(request, obj)
        return [name for name in flatten_fieldsets(self.get_fieldsets(request, obj)) if name not in LIMITS]

    def audit_thing(self, obj: Any) -> audit.Thing:
        return audit.key(obj)

    def has_revoke_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "write:api-key", obj)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool) -> None:
        if change:
            obj.save(update_fields=LIMITS)
            return
        actor = self.actor(request, obj.workspace_id)
        if actor.membership_id is None:
            raise Conflict("A key acts as a member of the workspace. Make yourself a member first.")
        key, text = create_key(
            actor,
            obj.name,
            obj.scopes,
            obj.expires_at,
            limits=OwnLimits(obj.requests_per_minute, obj.open_requests),
        )
        obj.pk = key.pk
        obj._state.adding = False
        messages.warning(request, gettext("Copy the key now, it is not shown again: %(key)s") % {"key": text})

    @action(description=_("Revoke selected keys"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = self.permitted(request, queryset, "write:api-key")
        if not is_confirmed(request):
            return confirmation(
                self,
                request,
                keys,
                lambda key: f"{key.name} · {key.prefix}…",
                title=gettext("Revoke these keys?"),
                question=gettext("Whoever uses one of them is refused at once. This cannot be undone."),
                only_some=gettext(
                    "Only the first %(most)s keys are shown and revoked. Repeat this for the others."
                )
                % {"most": MOST_AT_ONCE},
            )
        count = revoke_keys(keys)
        messages.success(request, gettext("Keys revoked: %(count)s.") % {"count": count})
        return None
