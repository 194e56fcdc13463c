"""What tests of the admin share: people who may enter it, and the addresses of its pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User


def signed_in(user: User) -> Client:
    """A client of somebody who may enter the admin and has signed in."""
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


def request_of(user: User, path: str = "/admin/") -> HttpRequest:
    request = RequestFactory().get(path)
    request.user = user
    return request


def admin_of(label: str) -> ModelAdmin[Any]:
    return next(found for model, found in admin.site._registry.items() if model._meta.label_lower == label)


def path_of(label: str, page: str, *args: object) -> str:
    """`path_of("runs.run", "change", run.pk)`."""
    return reverse(f"admin:{label.replace('.', '_')}_{page}", args=args)


def said(response: Any) -> list[str]:
    """The messages that a request has left for the next page."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def queries_of(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)
