"""Every operation asked as the API's description has it, and otherwise, by Schemathesis: as an admin and as a viewer.

What is answered has to be described, status, header fields, content type and body, and is never a 500. Each request
is undone, so that the next one finds the same objects. `make test` asks each operation a few times, `make test-schema`
as often as SCHEMATHESIS_EXAMPLES says, and besides at all bounds of all that is described.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import schemathesis
from django.db import transaction
from django.test import override_settings
from rest_framework.test import APIClient
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.pytest._test_builder import build_operation_test

from accounts.models import User
from accounts.roles import Role
from accounts.tokens import AccessToken
from agentplatform.lib.json import dumps
from runs.api import chat
from runs.events import EventType, StoredEvent
from runs.follow import Follower
from tests import factories
from tests.platform.described import add_bare_rows, described, own_path, sent, with_objects
from tests.platform.operations import WRITES, Operation, undone
from tests.platform.tenant import MARKER, Tenant, make_tenant

pytestmark = pytest.mark.usefixtures("one_transaction", "without_limits")

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
FEW = 2
# What an operation refuses or takes beyond its description is for the walks of test_bad_input.py; those of
# test_tenant_wall.py see to who is let in.
LEFT_OUT = ("ignored_auth", "negative_data_rejection", "positive_data_acceptance")
CONFIGURATION = {
    "seed": 1,
    "generation": {
        "deterministic": True,
        "database": "none",
        "max-examples": EXAMPLES or FEW,
        "no-shrink": True,
        "with-security-parameters": False,
    },
    "phases": {"coverage": {"enabled": bool(EXAMPLES)}},
    "checks": {name: {"enabled": False} for name in LEFT_OUT},
    "suppress-health-check": ["all"],
}
# A viewer is refused before anybody looks at what is written, so its bounds need not be gone to.
WRITING = {"include-method": list(WRITES), "phases": {"coverage": {"enabled": False}}}
CONFIGURATIONS = {Role.ADMIN: CONFIGURATION, Role.VIEWER: CONFIGURATION | {"operations": [WRITING]}}


@pytest.fixture(scope="module")
def people(django_db_setup, django_db_blocker) -> Iterator[tuple[Tenant, dict[Role, User]]]:
    """A workspace with a row of every kind, and its members by role. Made once: nothing that is asked changes it."""
    hashing = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
    with hashing, django_db_blocker.unblock(), transaction.atomic():
        admin = factories.MembershipFactory(workspace__slug="acme", user__username="alice", role=Role.ADMIN)
        viewer = factories.MembershipFactory(workspace=admin.workspace, user__email="", role=Role.VIEWER)
        tenant = make_tenant(admin.workspace, admin.user, MARKER)
        add_bare_rows(tenant)
        yield tenant, {Role.ADMIN: admin.user, Role.VIEWER: viewer.user}
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def asked(people, schema) -> dict[Role, schemathesis.BaseSchema]:
    """The description, as Schemathesis reads it, for each role."""
    filled = with_objects(schema, people[0])
    return {
        role: schemathesis.openapi.from_dict(filled, config=schemathesis.Config.from_dict(configuration))
        for role, configuration in CONFIGURATIONS.items()
    }


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch):
    """There is no worker: a run whose end a chat would wait for has ended."""

    async def ended(follower: Follower, known: list[StoredEvent]) -> StoredEvent:
        follower.close()
        data = {"response": "Hello", "metrics": {"total_tokens": 2, "duration": 0.5}}
        return replace(known[-1], type=EventType.RUN_COMPLETED, data=dumps(data).decode())

    monkeypatch.setattr(chat, "last_move", ended)


def asking(
    client: APIClient, faults: dict[str, str], statuses: Counter[int]
) -> Callable[[schemathesis.Case], None]:
    """What is done with each request: `faults` has the first of each kind, `statuses` counts all."""

    def ask(case: schemathesis.Case) -> None:
        with undone():
            answer = sent(client, case)
        statuses[answer.status_code] += 1
        try:
            case.validate_response(answer)
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{answer.status_code} {type(failure).__name__} {failure.message[:100]}"
                faults.setdefault(kind, str(group))

    return ask


@pytest.mark.parametrize("role", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("operation", described(), ids=str)
def test_answers_as_it_is_described(people, asked, record_property, operation: Operation, role: Role):
    own, token = asked[role], AccessToken.for_user(people[1][role])
    client = APIClient(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)
    faults: dict[str, str] = {}
    statuses: Counter[int] = Counter()

    build_operation_test(
        config=own.config,
        operation=own[own_path(own.raw_schema, operation)][operation.method],
        test_func=asking(client, faults, statuses),
        given_kwargs={},
        feedback=NO_FEEDBACK,
    )()

    record_property(
        "schemathesis", {"operation": str(operation), "role": str(role), "statuses": dict(statuses)}
    )
    assert statuses.total() > 0
    assert not faults, "\n\n".join(faults.values())


def test_describes_every_operation(schema):
    methods = {(path, method) for path, operations in schema["paths"].items() for method in operations}

    assert methods == {(own_path(schema, one), one.method.lower()) for one in described()}
