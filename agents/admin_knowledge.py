"""Knowledge bases in the admin: what they are made with, their documents, and a search to try them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from unfold.decorators import action

from accounts import audit
from accounts.admin_base import TenantForm, TenantModelAdmin
from agentplatform.lib.errors import Invalid, PlatformError
from agentplatform.lib.ids import as_uuid
from agents.api.representations import knowledge_bases
from agents.knowledge import documents
from agents.knowledge.search import LONGEST_QUERY, Found, search
from agents.metering import Payer
from agents.models import ChatModel, Document, KnowledgeBase

MOST_SHOWN = 200
FOUND = 5
VALUES = ("name", "description", "embedding_model", "chunk_size", "chunk_overlap")


class KnowledgeBaseForm(TenantForm):
    """The API's rules, and a model that embeds."""

    class Meta:
        model = KnowledgeBase
        fields = VALUES

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors:
            stored = KnowledgeBase.objects.filter(pk=self.instance.pk).first()
            fresh = KnowledgeBase(workspace=cleaned.get("workspace") or self.instance.workspace)
            try:
                documents.check_base(stored or fresh, {name: cleaned[name] for name in VALUES})
            except Invalid as error:
                for entry in error.details:
                    self.add_error(
                        entry["field"] if entry["field"] in self.fields else None, entry["message"]
                    )
            except PlatformError as error:
                self.add_error("name", error.message)
        return cleaned


class KnowledgeBaseAdmin(TenantModelAdmin):
    form = KnowledgeBaseForm
    permission_resource = "knowledge"
    deletes_by_verb = True
    list_display = [
        "name",
        "description",
        "embedding_model",
        "documents_in_it",
        "chunks_in_it",
        "workspace",
        "updated_at",
    ]
    list_filter = ["workspace"]
    list_select_related = ["workspace", "embedding_model"]
    search_fields = ["name", "description"]
    ordering = ["name"]
    readonly_fields = ["created_at", "updated_at"]
    actions_detail = ["contents_of_this"]
    fieldsets = [
        (None, {"fields": ["name", "description"]}),
        (gettext_lazy("Search"), {"fields": ["embedding_model", "chunk_size", "chunk_overlap"]}),
        (gettext_lazy("Times"), {"fields": ["created_at", "updated_at"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted = knowledge_bases.filter(pk__in=super().get_queryset(request).order_by().values("pk"))
        return counted.order_by("name")

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        found = super().get_field_queryset(db, db_field, request)
        is_model = db_field.name == "embedding_model"
        return found.filter(purpose=ChatModel.Purpose.EMBEDDING) if is_model else found

    @admin.display(description=gettext_lazy("documents"))
    def documents_in_it(self, base: Any) -> int:
        return int(base.document_count)

    @admin.display(description=gettext_lazy("chunks"))
    def chunks_in_it(self, base: Any) -> int:
        return int(base.chunk_count)

    def save_model(self, request: HttpRequest, obj: KnowledgeBase, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in VALUES}
        actor = self.actor(request, obj.workspace_id)
        stored = KnowledgeBase.objects.get(pk=obj.pk) if change else obj
        if not change:
            obj._state.adding = True
        documents.save_base(stored, values, actor)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What is in use shows as protected. Documents go along, and are not listed one by one."""
        users = [user for obj in objs for user in documents.users_of(obj)]
        return [str(obj) for obj in objs], {}, set(), users

    def delete_model(self, request: HttpRequest, obj: KnowledgeBase) -> None:
        documents.delete_base(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> None:
        for base in queryset:
            documents.delete_base(base)

    # --- what is in it ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.contents_view)
        return [
            path("<uuid:object_id>/documents/", view, name="agents_knowledgebase_documents"),
            *super().get_urls(),
        ]

    def has_contents_permission(self, request: HttpRequest, obj: Model | str | None = None) -> bool:
        return self.may(request, "read:knowledge", obj)

    @action(
        description=gettext_lazy("Documents and search"),
        url_path="contents",
        icon="folder_open",
        permissions=["contents"],
    )
    def contents_of_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(self._page(object_id))

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def contents_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """The documents with their states; a search; and for those who may, to upload, index again and delete."""
        base: Any = self.get_object(request, object_id)
        if base is None:
            raise Http404
        if request.method == "POST":
            try:
                self._act(request, base)
            except PlatformError as error:
                audit.current().is_refused = True
                messages.error(request, error.message)
            return HttpResponseRedirect(self._page(base.pk))
        query = request.GET.get("q", "").strip()[:LONGEST_QUERY]
        rows = list(Document.objects.filter(knowledge_base=base).order_by("name")[:MOST_SHOWN])
        context = {
            **self.admin_site.each_context(request),
            "title": base.name,
            "opts": self.opts,
            "original": base,
            "documents": rows,
            "total": base.document_count,
            "query": query,
            "found": self._found(request, base, query) if query else None,
            "may_write": self.may(request, "write:knowledge", base),
            "may_delete": self.may(request, "delete:knowledge", base),
        }
        return TemplateResponse(request, "admin/knowledge/documents.html", context)

    def _page(self, object_id: Any) -> str:
        return reverse("admin:agents_knowledgebase_documents", args=[object_id])

    def _found(self, request: HttpRequest, base: KnowledgeBase, query: str) -> Found:
        actor = self.actor(request, base.workspace_id)
        return search(base.workspace_id, [base.pk], query, FOUND, Payer(actor.user_id, actor.username))

    def _act(self, request: HttpRequest, base: KnowledgeBase) -> None:
        wanted = request.POST.get("act", "")
        self._require(request, "delete:knowledge" if wanted == "delete" else "write:knowledge", base)
        actor = self.actor(request, base.workspace_id)
        if wanted == "upload":
            files = request.FILES.getlist("file")
            if not files:
                raise Invalid({"file": _("Choose a file.")})
            for file in files:
                documents.add(base, file.name or "", file, actor)
            messages.success(request, _("Uploaded: %(count)d. Indexing has begun.") % {"count": len(files)})
            return
        keys = [key for text in request.POST.getlist("document") if (key := as_uuid(text))]
        chosen = Document.objects.filter(knowledge_base=base, pk__in=keys)
        if wanted == "delete":
            for document in chosen:
                documents.delete(document)
            messages.success(request, _("Deleted: %(count)d.") % {"count": len(keys)})
        elif wanted == "reindex":
            count = documents.index_again(chosen, actor)
            messages.success(request, _("Indexed again: %(count)d.") % {"count": count})

    def _require(self, request: HttpRequest, permission: str, base: KnowledgeBase) -> None:
        if not self.may(request, permission, base):
            raise PermissionDenied
