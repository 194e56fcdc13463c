"""Downloads of exports: whole, in parts, resumed by a client that is none of ours."""

import hashlib
import subprocess

import pytest
from django.core.files.storage import default_storage

from accounts.tokens import AccessToken
from billing.exports import files
from tests.billing.conftest import joined

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def export(used, made):
    for number in range(20):
        used(end_user=f"customer {number}")
    return made()


@pytest.fixture
def content(export) -> bytes:
    with default_storage.open(files.name_of(export, export.attempt)) as file:
        return file.read()


@pytest.fixture
def get(api, audrey, export):
    """`get(Range="bytes=0-9")`: the response to audrey's download."""
    return lambda method="get", **headers: getattr(api(audrey), method)(
        f"/billing/exports/{export.pk}/download",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def test_gives_the_whole_file(get, content):
    response = get()
    assert (response.status_code, joined(response), response["Content-Length"]) == (
        200,
        content,
        str(len(content)),
    )


def test_is_a_download_by_its_hash(get, content, export):
    response = get()
    assert (response["ETag"], response["Accept-Ranges"], response["Content-Type"]) == (
        f'"{hashlib.sha256(content).hexdigest()}"',
        "bytes",
        "text/csv; charset=utf-8",
    )
    assert response["Content-Disposition"] == f'attachment; filename="{export.manifest["file"]["name"]}"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=3-999999999", slice(3, None)),
    ],
)
def test_gives_a_part(get, content, asked, part):
    response = get(Range=asked)
    start, end = part.indices(len(content))[:2]
    assert (response.status_code, joined(response), response["Content-Range"]) == (
        206,
        content[part],
        f"bytes {start}-{end - 1}/{len(content)}",
    )


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0"])
def test_says_that_a_part_is_behind_the_end(get, content, asked):
    response = get(Range=asked)
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{len(content)}")


@pytest.mark.parametrize("asked", ["bytes=9-3", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=a-b", "x"])
def test_gives_everything_where_a_range_makes_no_sense(get, content, asked):
    response = get(Range=asked)
    assert (response.status_code, joined(response)) == (200, content)


def test_gives_a_part_only_of_the_file_that_one_has(get, export):
    tag = f'"{export.sha256}"'
    assert [get(Range="bytes=5-", If_Range=one).status_code for one in (tag, '"other"')] == [206, 200]


def test_gives_nothing_twice(get, export):
    assert get(If_None_Match=f'"{export.sha256}"').status_code == 304


def test_answers_head_without_a_body(get, content):
    response = get("head")
    assert (response.status_code, response.content, response["Content-Length"]) == (
        200,
        b"",
        str(len(content)),
    )


def test_says_that_the_storage_has_nothing(get, export):
    default_storage.delete(files.name_of(export, export.attempt))
    assert get().status_code == 503


def test_is_resumed_by_curl(server, export, content, audrey, tmp_path):
    part = tmp_path / "part.csv"
    part.write_bytes(content[:1000])
    url = f"{server}/billing/exports/{export.pk}/download"
    header = f"Authorization: Bearer {AccessToken.for_user(audrey)}"
    subprocess.run(["curl", "-sSf", "-C", "-", "-H", header, "-o", str(part), url], check=True, timeout=30)
    assert part.read_bytes() == content
