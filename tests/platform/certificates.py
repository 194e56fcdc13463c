"""Certificates for tests, by `openssl`: a CA, what it signs for a server here and for a client, and a stranger."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

NEW = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Certificates:
    """Paths of PEM files in a folder: `ca`, `server`, `client`, `stranger` (another CA); keys end in `.key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("ca", "stranger"):
            _run([*NEW, "-x509", "-days", "2", "-subj", f"/CN={name}", *self._files(name, ".pem")])
        for name in ("server", "client"):
            names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
            _run([*NEW, "-subj", f"/CN={name}", "-addext", names, *self._files(name, ".csr")])
            signed = [
                "-CA",
                self["ca"],
                "-CAkey",
                self.key("ca"),
                "-CAcreateserial",
                "-copy_extensions",
                "copy",
            ]
            request = str(folder / f"{name}.csr")
            _run(["openssl", "x509", "-req", "-days", "2", "-in", request, *signed, "-out", self[name]])

    def __getitem__(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")

    def _files(self, name: str, ending: str) -> list[str]:
        return ["-keyout", self.key(name), "-out", str(self.folder / f"{name}{ending}")]


def has_openssl() -> bool:
    return shutil.which("openssl") is not None


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
