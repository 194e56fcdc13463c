"""Configuration that stands in files: a file or a folder of YAML and JSON files, in Git for instance.

CONFIG_DIR is loaded into one workspace as the platform starts. A file that cannot be read, or a component that is not
valid, is logged with file, line and field and left out, with what needs it; the rest is loaded, and the platform runs.
What no file has any more stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from django.conf import settings

from accounts import audit
from accounts.actor import Actor
from accounts.actors import platform_actor
from accounts.models import Workspace
from agentplatform.lib.errors import Invalid
from agents.configuration import text
from agents.configuration.importing import Report, make
from agents.configuration.sections import Reference, registry
from agents.configuration.text import UNCHANGED, Wanted, field_of
from agents.workflows.faults import Place
from agents.workflows.text import TextFault, places

logger = structlog.get_logger(__name__)

ENDINGS = {".yaml", ".yml", ".json"}
MOST_FILES = 1_000
SECRET_PREFIX = "CONFIG_SECRET_"  # noqa: S105 - the beginning of a variable's name
AUTHOR = "CONFIG_DIR"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file. `line` counts from 1; None: it is the whole file, or no line is known."""

    file: Path
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


@dataclass(slots=True)
class Files:
    """What all files together ask for, and which file each component stands in."""

    wanted: Wanted = field(default_factory=Wanted)
    problems: list[Problem] = field(default_factory=list)
    _origin: dict[Reference, tuple[Path, str, Place]] = field(default_factory=dict)
    _default_in: tuple[Path, str] | None = None

    def add(self, file: Path) -> None:
        try:
            written = file.read_text(encoding="utf-8") if file.stat().st_size <= 4 * text.LONGEST else None
            found = text.read(written) if written is not None else None
        except TextFault as error:
            self.problems.append(Problem(file, error.line, "", error.details[0]["message"]))
            return
        except (OSError, UnicodeDecodeError, Invalid) as error:
            said = error.details[0]["message"] if isinstance(error, Invalid) else str(error)
            self.problems.append(Problem(file, None, "", said))
            return
        if written is None or found is None:
            self.problems.append(Problem(file, None, "", f"It is longer than {text.LONGEST:,} characters."))
            return
        self._report(file, written, list(found.faults.items()))
        self._take(file, written, found)

    def _take(self, file: Path, written: str, found: Wanted) -> None:
        is_whole = bool(found.sections)
        self.wanted.sections |= found.sections
        for reference, document in found.documents.items():
            place: Place = (registry[reference[0]].key, reference[1]) if is_whole else ()
            if (other := self._origin.get(reference)) is not None:
                self._report(
                    file, written, [(place, f"The {reference[0]} {reference[1]!r} stands in {other[0]} too.")]
                )
            else:
                self.wanted.documents[reference] = document
                self._origin[reference] = (file, written, place)
        if found.default_agent is not UNCHANGED:
            if self._default_in:
                self._report(
                    file, written, [(("default_agent",), f"It stands in {self._default_in[0]} too.")]
                )
            else:
                self.wanted.default_agent, self._default_in = found.default_agent, (file, written)

    def _report(self, file: Path, written: str, faults: list[tuple[Place, str]]) -> None:
        lines = places(written, [place for place, _ in faults])
        self.problems += [
            Problem(file, line, field_of(place), message)
            for (place, message), line in zip(faults, lines, strict=True)
        ]

    def explain(self, report: Report) -> None:
        """Adds what is wrong with components to the problems, where their files have them."""
        types = {section.key: section.type for section in registry.values()}
        for place, message in report.faults.items():
            if place == ("default_agent",) and self._default_in:
                self._report(*self._default_in, [(place, message)])
                continue
            key, name, *rest = place
            origin = self._origin.get((types[str(key)], str(name)))
            if origin is None:
                self.problems.append(Problem(Path(), None, field_of(place), message))
            else:
                file, written, start = origin
                self._report(file, written, [((*start, *rest), message)])


def read(path: Path) -> Files:
    """A file, or all files in a folder and those below it, in the order of their names."""
    files, found = Files(), [path] if path.is_file() else list(_files_in(path))
    if not path.exists():
        files.problems.append(Problem(path, None, "", "There is no such file or folder."))
    for file in found[:MOST_FILES]:
        files.add(file)
    if len(found) > MOST_FILES:
        files.problems.append(
            Problem(path, None, "", f"It has more than {MOST_FILES:,} files; the others are left out.")
        )
    return files


def _files_in(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            Path(root, name)
            for name in sorted(names)
            if Path(name).suffix in ENDINGS and not name.startswith(".")
        )


def secret_of(name: str) -> str | None:
    """The environment's value of a secret: CONFIG_SECRET_MODEL_FAST_API_KEY for `model/fast/api_key`."""
    return os.environ.get(SECRET_PREFIX + re.sub(r"[^A-Za-z0-9]", "_", name).upper()) or None


def load(actor: Actor, path: Path) -> tuple[Report, list[Problem]]:
    """Loads whatever is sound; answers what has changed, and what is wrong with the rest."""
    files = read(path)
    report = make(actor, files.wanted, secrets=secret_of)
    files.explain(report)
    return report, files.problems


def load_configured() -> None:
    """Loads CONFIG_DIR, if it is set, and logs what is wrong with it. Raises nothing: the platform runs without."""
    if not settings.CONFIG_DIR:
        return
    try:
        actor = platform_actor(_workspace(), AUTHOR)
        with audit.following(audit.Trail(path=AUTHOR, actor=actor)):
            report, problems = load(actor, Path(settings.CONFIG_DIR))
    except Exception as error:
        logger.exception("CONFIG_DIR was not loaded", reason=str(error))
        return
    for problem in problems:
        logger.error(
            "CONFIG_DIR: left out",
            file=str(problem.file),
            line=problem.line,
            field=problem.field,
            reason=problem.message,
        )
    logger.info(
        "CONFIG_DIR is loaded",
        created=report.count("created"),
        updated=report.count("updated"),
        unchanged=report.unchanged,
        problems=len(problems),
    )


def _workspace() -> Workspace:
    """CONFIG_WORKSPACE or, without it, the only one that there is."""
    slug = settings.CONFIG_WORKSPACE
    found = list(Workspace.objects.filter(slug=slug)) if slug else list(Workspace.objects.all()[:2])
    if len(found) == 1:
        return found[0]
    if slug:
        raise LookupError(f"There is no workspace {slug!r}, which CONFIG_WORKSPACE names.")
    raise LookupError(
        "There is not exactly one workspace: say in CONFIG_WORKSPACE which one CONFIG_DIR is for."
    )
