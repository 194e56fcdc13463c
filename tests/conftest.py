"""Fixtures for all rooms: two workspaces, named people in them, and a client that speaks as any of them.

acme    alice (admin), olivia (operator), bob (user), vera (viewer), audrey (auditor)
other   charlie (admin), the stranger
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models.signals import pre_migrate
from django.utils import translation
from rest_framework.test import APIClient

from accounts.actor import Actor
from accounts.authentication import actor_from_session
from accounts.models import ApiKey, User, Workspace
from accounts.roles import Role
from accounts.security import noting
from accounts.tokens import AccessToken
from agentplatform.batching import batch_operations
from agentplatform.lib import concurrency, outboxes
from tests import emptying
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory
from tests.one_thread import TestThread

emptying.install()
# A worker in this process would work off the outboxes between two statements of a test; its own tests say when.
outboxes.PERIOD_SECONDS = 3600.0
noting.PERIOD_SECONDS = 3600.0
# As the platform's own commands make their databases.
pre_migrate.connect(batch_operations)


@pytest.fixture(autouse=True)
def _fresh_cache():
    """Rate limits and cached answers of one test are not another's."""
    cache.clear()


@pytest.fixture(autouse=True)
def _nothing_noted():
    """Security events of one test are not another's; its own tests say when they are written."""
    noting.forget()


@pytest.fixture(autouse=True)
def _english():
    """The language that a page was asked for in one test is not another's."""
    translation.activate("en")


@pytest.fixture(autouse=True)
def _fast_passwords(settings):
    """One round of hashing: the strength of passwords is Django's to test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def workspace(db) -> Workspace:
    return WorkspaceFactory(slug="acme", name="Acme")


@pytest.fixture
def other_workspace(db) -> Workspace:
    return WorkspaceFactory(slug="other", name="Other")


def member(workspace: Workspace, name: str, role: Role) -> User:
    return MembershipFactory(workspace=workspace, user=UserFactory(username=name), role=role).user


@pytest.fixture
def alice(workspace) -> User:
    return member(workspace, "alice", Role.ADMIN)


@pytest.fixture
def olivia(workspace) -> User:
    return member(workspace, "olivia", Role.OPERATOR)


@pytest.fixture
def bob(workspace) -> User:
    return member(workspace, "bob", Role.USER)


@pytest.fixture
def vera(workspace) -> User:
    return member(workspace, "vera", Role.VIEWER)


@pytest.fixture
def audrey(workspace) -> User:
    return member(workspace, "audrey", Role.AUDITOR)


@pytest.fixture
def charlie(other_workspace) -> User:
    return member(other_workspace, "charlie", Role.ADMIN)


class Client(APIClient):
    """A client whose paths are below /api/v1, and which answers a 500 where a browser would see one."""

    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        below = path if path.startswith("/api/") else f"/api/v1{path}"
        return super().generic(method, below, *args, **kwargs)


@pytest.fixture
def api() -> Callable[..., Client]:
    """`api(alice).get("/agents")`; `api(key)` sends an API key, `workspace=` the header X-Workspace."""

    def client(caller: User | ApiKey | None = None, workspace: Workspace | str = "") -> Client:
        headers = {}
        if isinstance(caller, ApiKey):
            headers["X-API-Key"] = caller.text
        elif caller is not None:
            headers["Authorization"] = f"Bearer {AccessToken.for_user(caller)}"
        if workspace:
            headers["X-Workspace"] = getattr(workspace, "slug", workspace)
        return Client(headers=headers, raise_request_exception=False)

    return client


@pytest.fixture
def actor() -> Callable[[User], Actor]:
    """`actor(alice)`: the actor of somebody in the workspace that they are a member of."""

    def of(user: User) -> Actor:
        return actor_from_session(user, user.memberships.get().workspace_id)

    return of


@pytest.fixture
def one_thread(db, monkeypatch) -> None:
    """Async views that the test client calls see the test's rows, although they are not committed."""
    monkeypatch.setattr(concurrency, "_pool", TestThread())
