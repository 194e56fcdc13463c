"""Where files are kept, as `STORAGE_URL` says it: a folder, or a bucket of an S3-compatible service.

    (empty)                                      the folder `files` in the data directory
    /srv/files, file:///srv/files                a folder
    s3://KEY:SECRET@host:9000/bucket/prefix      a bucket; `?region=…`, `?tls=false` for plain HTTP
    s3://bucket-name?region=eu-central-1         a bucket of AWS, with the credentials of the environment

Files are written once, under names of ours, and never changed.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def storage_of(url: str, data_dir: Path) -> dict[str, Any]:
    """The entry of Django's STORAGES. Raises ImproperlyConfigured."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _bucket(url)
    if parts.scheme not in ("", "file") or (url and not parts.path.startswith("/")):
        raise ImproperlyConfigured(
            "STORAGE_URL is a folder (/srv/files) or a bucket (s3://KEY:SECRET@host/bucket)."
        )
    folder = Path(unquote(parts.path)) if url else data_dir / "files"
    options = {
        "location": str(folder),
        "file_permissions_mode": 0o600,
        "directory_permissions_mode": 0o700,
    }
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}


def _bucket(url: str) -> dict[str, Any]:
    if not (find_spec("storages") and find_spec("boto3")):
        raise ImproperlyConfigured(
            "STORAGE_URL names a bucket, which needs further packages: pip install -r requirements-s3.txt"
        )
    parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
    has_host = parts.path.strip("/") != "" or parts.username is not None
    bucket, _, prefix = parts.path.strip("/").partition("/") if has_host else (parts.hostname or "", "", "")
    if not bucket:
        raise ImproperlyConfigured("STORAGE_URL names no bucket: s3://KEY:SECRET@host/bucket.")
    options: dict[str, Any] = {"bucket_name": bucket, "location": prefix, "default_acl": None}
    if has_host:
        scheme = "http" if query.get("tls") == ["false"] else "https"
        port = f":{parts.port}" if parts.port else ""
        options["endpoint_url"] = f"{scheme}://{parts.hostname}{port}"
    if parts.username:
        options["access_key"], options["secret_key"] = unquote(parts.username), unquote(parts.password or "")
    if region := query.get("region"):
        options["region_name"] = region[0]
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
