"""STORAGE_URL: a folder or a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from agentplatform.lib import storage_url
from agentplatform.lib.storage_url import storage_of

DATA = Path("/data")


@pytest.fixture
def with_packages(monkeypatch):
    monkeypatch.setattr(storage_url, "find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("url", "folder"),
    [("", "/data/files"), ("/srv/files", "/srv/files"), ("file:///srv/my%20files", "/srv/my files")],
)
def test_names_a_folder(url, folder):
    assert storage_of(url, DATA)["OPTIONS"]["location"] == folder


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (
            "s3://KEY:SE%2FCRET@minio:9000/files/team?tls=false&region=eu",
            {
                "bucket_name": "files",
                "location": "team",
                "endpoint_url": "http://minio:9000",
                "access_key": "KEY",
                "secret_key": "SE/CRET",
                "region_name": "eu",
                "default_acl": None,
            },
        ),
        ("s3://files", {"bucket_name": "files", "location": "", "default_acl": None}),
        (
            "s3://s3.example.com/files",
            {
                "bucket_name": "files",
                "location": "",
                "endpoint_url": "https://s3.example.com",
                "default_acl": None,
            },
        ),
    ],
)
def test_names_a_bucket(with_packages, url, options):
    assert storage_of(url, DATA)["OPTIONS"] == options


@pytest.mark.parametrize("url", ["relative/folder", "ftp://host/files", "s3://KEY:SECRET@host"])
def test_refuses_what_names_neither(with_packages, url):
    with pytest.raises(ImproperlyConfigured, match="STORAGE_URL"):
        storage_of(url, DATA)


def test_says_what_a_bucket_needs(monkeypatch):
    monkeypatch.setattr(storage_url, "find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match="requirements-s3"):
        storage_of("s3://files", DATA)
