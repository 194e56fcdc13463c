"""The admin's lists at a million rows each: runs, sessions, the ledger and the audit log, as those see them who are
signed in there. First pages, the last page of the walk, filters that find much, little and nothing, and searches.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import psycopg

from agentplatform.database import embedded_url
from agentplatform.lib.admin_lists import MOST_ROWS
from bench.connection import Connection
from bench.platform import API, HOST, Platform
from bench.reads import page_latencies
from bench.scale import USAGE, multiply

TIMES = 40
LAST_PAGE = MOST_ROWS // 50
AUDIT = {
    "id": "uuidv7(make_interval(secs => n - {rows}))",
    "timestamp": "now() + make_interval(secs => n - {rows})",
    "resource_id": "gen_random_uuid()",
    "resource_name": "'thing-' || n % 1000",
    "request_id": "gen_random_uuid()::text",
    "action": "CASE n % 1000 WHEN 7 THEN 'published' ELSE 'updated' END",
    "via": "CASE n % 1000 WHEN 9 THEN 'admin' ELSE 'api' END",
    "outcome": "CASE n % 1000 WHEN 11 THEN 'refused' ELSE 'succeeded' END",
}
SESSIONS = {
    "id": "uuidv7(make_interval(secs => n - {rows}))",
    "created_at": "now() + make_interval(secs => n - {rows})",
    "updated_at": "now() + make_interval(secs => n - {rows})",
    "agent_id": "(SELECT (array_agg(id))[1 + n % {agents}] FROM chosen)",
    "name": "'About thing ' || n % 1000",
    "end_user": "'customer-' || n % 50000",
    "head_id": "NULL",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that somebody in a role looks at; milliseconds."""

    role: str
    label: str
    path: str
    p50: float = 0.0
    p95: float = 0.0


async def fill(platform: Platform) -> None:
    """Loads a million sessions and entries of the audit log beside what `bench.scale.fill` has loaded."""
    connection = await platform.connect()
    await connection.request("POST", f"{API}/sessions", {"name": "About things"}, expect=201)
    connection.close()
    with psycopg.connect(embedded_url(platform.data_dir), autocommit=True) as database:
        database.execute("SET session_replication_role = replica")
        # In the ledger there is an entry before each call as well as one after it.
        multiply(database, "billing_usagerecord", USAGE, "entry = 'opened'")
        multiply(database, "runs_session", SESSIONS, "true")
        multiply(database, "accounts_auditentry", AUDIT, "resource_name <> ''")


async def measure(platform: Platform) -> list[Visit]:
    """What each of these pages takes, seen one after the other."""
    found = []
    for role in ("operator", "auditor", "admin"):
        connection = await Connection.open(HOST, platform.port, {"Cookie": _signed_in(platform, role)})
        for visit in _visits(platform, role):
            p50, p95 = await page_latencies(connection, visit.path, TIMES)
            found.append(Visit(role, visit.label, visit.path, p50, p95))
        connection.close()
    return found


def _visits(platform: Platform, role: str) -> list[Visit]:
    """What somebody in this role looks at. The admin is a superuser, for whom no workspace narrows a list."""
    with psycopg.connect(embedded_url(platform.data_dir)) as connection:
        agent, run = _one(
            connection, "SELECT agent_id::text, id::text FROM runs_run ORDER BY id DESC LIMIT 1"
        )
        thing, request = _one(
            connection,
            "SELECT resource_id::text, request_id FROM accounts_auditentry WHERE resource_name = 'thing-5'"
            " ORDER BY id LIMIT 1",
        )
        (called_run,) = _one(connection, "SELECT run_id::text FROM billing_usagerecord ORDER BY id LIMIT 1")
    runs = {
        "first page": {},
        "last page of the walk": {"p": LAST_PAGE},
        "completed": {"status": "completed"},
        "failed (1 in 50)": {"status": "failed"},
        "waiting (none)": {"status": "waiting"},
        "of an agent": {"agent": agent},
        "failed, of an agent": {"agent": agent, "status": "failed"},
        "past 7 days": {"since": "week"},
        "failed, past 24 hours": {"status": "failed", "since": "day"},
        "search: beginning of an id": {"q": run[:13]},
        "search: an end user that is none": {"q": "nobody"},
    }
    sessions = {
        "first page": {},
        "last page of the walk": {"p": LAST_PAGE},
        "of an agent": {"agent": agent},
        "past 24 hours": {"since": "day"},
        "search: part of a name": {"q": "thing 77"},
        "search: part of no name": {"q": "nothing of that kind"},
    }
    usage = {
        "first page": {},
        "last page of the walk": {"p": LAST_PAGE},
        "opened": {"entry": "opened"},
        "failed (none)": {"status__exact": "failed"},
        "search: a run": {"q": called_run},
        "search: a run that is none": {"q": thing},
    }
    audit = {
        "first page": {},
        "last page of the walk": {"p": LAST_PAGE},
        "published (1 in 1,000)": {"action__exact": "published"},
        "erased (none)": {"action__exact": "erased"},
        "by the admin (1 in 1,000)": {"via__exact": "admin"},
        "refused (1 in 1,000)": {"outcome__exact": "refused"},
        "past 24 hours": {"since": "day"},
        "search: a word": {"q": "thing-77"},
        "search: a word in all": {"q": "updated"},
        "search: an object": {"q": thing},
        "search: a request": {"q": request},
    }
    lists = {
        "operator": {"runs/run": runs, "runs/session": sessions, "billing/usagerecord": usage},
        "auditor": {"billing/usagerecord": usage, "accounts/auditentry": audit},
        "admin": {"runs/run": runs, "runs/session": sessions, "accounts/auditentry": audit},
    }
    return [
        Visit(role, f"{page.partition('/')[2]}: {label}", f"/admin/{page}/?{urlencode(asked)}")
        for page, pages in lists[role].items()
        for label, asked in pages.items()
    ]


def _one(connection: psycopg.Connection[tuple[str, ...]], query: str) -> tuple[str, ...]:
    row = connection.execute(query).fetchone()
    assert row
    return row


def _signed_in(platform: Platform, role: str) -> str:
    """The cookies of somebody who has signed in at the admin's form."""
    credentials = json.loads((platform.data_dir / "demo-credentials.json").read_text())
    who = next(user for user in credentials if user["role"] == role)
    jar = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = f"http://{HOST}:{platform.port}/admin/login/?next=/admin/"
    opener.open(page).close()
    form = {
        "username": who["username"],
        "password": who["password"],
        "csrfmiddlewaretoken": next(cookie.value for cookie in jar if cookie.name == "csrftoken"),
    }
    opener.open(urllib.request.Request(page, urlencode(form).encode(), {"Referer": page})).close()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
