"""Which commands may be started as MCP servers, and with which environment. Operators decide: MCP_ALLOWED_COMMANDS."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""What a server gets of the platform's own environment: nothing that could be a secret."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")
LOADER_VARIABLE = re.compile(
    r"""(
    PATH | PATHEXT | HOME | XDG_.* | LD_.* | DYLD_.* | GCONV_PATH | OPENSSL_(CONF|ENGINES|MODULES)
    | ENV | BASH_.* | BASHOPTS | SHELLOPTS | PROMPT_COMMAND | PS4 | IFS | ZDOTDIR
    | NODE_(OPTIONS|PATH|REPL_.*) | NPM_CONFIG_.* | YARN_.* | PNPM_.* | BUN_.* | DENO_.* | ELECTRON_.*
    | PYTHON.* | PIP_.* | UV_.* | VIRTUAL_ENV | CONDA_.*
    | PERL.* | RUBY.* | GEM_.* | BUNDLE_.* | PHPRC | PHP_.* | LUA_.*
    | CLASSPATH | .*JAVA_OPTIONS | JAVA_.* | JDK_.* | DOTNET_.* | CORECLR_.* | COR_.* | NUGET_.*
    | GIT_.* | DOCKER_CONFIG
    )\Z""",
    re.VERBOSE | re.IGNORECASE,
)
"""What makes a loader, a shell, an interpreter or a package manager run code, or fetch it from somewhere else."""


def command_fault(command: str) -> str | None:
    """Why this command may not be started, in words for whoever wants to, or None."""
    if not command:
        return "Give the command that starts the server."
    allowed = settings.MCP_ALLOWED_COMMANDS
    if command in allowed:
        return None
    remedy = "an operator can add it to MCP_ALLOWED_COMMANDS, exactly as it is written here"
    if not allowed:
        return f"This installation starts no commands as MCP servers; {remedy}."
    return f"{command!r} is not among the allowed commands ({', '.join(allowed)}); {remedy}."


def executable(command: str) -> str | None:
    """The file that an allowed command names; None: there is none. The server's own variables have no say in it."""
    return shutil.which(command)


def variable_fault(name: str) -> str | None:
    """Why a server cannot be given this environment variable, or None."""
    if not VARIABLE.match(name):
        return f"{name!r} is not the name of an environment variable."
    if LOADER_VARIABLE.match(name):
        return f"{name} decides which code runs, so it is the platform's. Leave it out."
    return None


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a server with these variables of its own."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {name: value for name, value in own.items() if variable_fault(name) is None}


def working_directory() -> Path:
    """A folder that only the platform can write to: what stands in it may be run by an interpreter."""
    folder = Path(settings.DATA_DIR) / "mcp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
