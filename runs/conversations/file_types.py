"""What a file is, by its bytes, and which models take it. What its name and its sender say only has to agree."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import filetype
import imagesize
import orjson

from agentplatform.lib.errors import Invalid

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
PDF = "application/pdf"
BINARY = {
    "image/png": {"png"},
    "image/jpeg": {"jpg", "jpeg", "jpe", "jfif"},
    "image/webp": {"webp"},
    "image/gif": {"gif"},
    PDF: {"pdf"},
}
"""Their names may end so, or have no ending."""
TEXT = {
    "": "text/plain",
    "txt": "text/plain",
    "text": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
}
# What senders call texts: browsers go by what programs have registered.
SAID_OF_TEXT = {"application/json", "application/csv", "application/vnd.ms-excel", "application/x-ndjson"}
SAYS_NOTHING = {"", "application/octet-stream", "binary/octet-stream"}
ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": PDF}
ACCEPTED = "PNG, JPEG, WebP, GIF, PDF, plain text, Markdown, CSV or JSON"
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 20_000
LONGEST_NAME = 200
MARKUP = re.compile(r"\s*(<!doctype|<!--|<\?xml|<html|<head|<body|<svg|<script|<iframe)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def media_type_of(content: bytes, name: str, said: str) -> str:
    """The type of a file of this name, of which its sender says the type `said`. Raises Invalid that says why not."""
    ending = PurePosixPath(name).suffix.removeprefix(".").lower()
    said = said.partition(";")[0].strip().lower()
    if not content:
        raise _refused("The file is empty.")
    found = filetype.guess_mime(content[:512])
    if found in BINARY:
        if ending and ending not in BINARY[found]:
            raise _refused(f"It is a file of the type {found}, and its name ends with .{ending[:20]}.")
        if said not in SAYS_NOTHING and ALIASES.get(said, said) != found:
            raise _refused(f"It is a file of the type {found}, and is said to be {said[:100]!r}.")
        if found in IMAGES:
            _check_pixels(content)
        return str(found)
    if found is not None:
        raise _refused(f"Files of the type {found} are not taken; send {ACCEPTED}.")
    return _text_type(content, ending, said)


def require_taken(references: Iterable[Mapping[str, str]], model: str, inputs: Iterable[str]) -> None:
    """Raises Invalid where a model does not take one of these. Texts go to every model."""
    taken = {kind: kind in inputs for kind in ("image", "file")}
    for one in references:
        kind = kind_of(one["media_type"])
        if kind != "text" and not taken[kind]:
            also = [
                name
                for name, is_taken in {"images": taken["image"], "PDF": taken["file"]}.items()
                if is_taken
            ]
            raise Invalid(
                {
                    "attachments": f"The model {model!r} does not take {one['media_type']} ({one['name']!r}); "
                    f"it takes {' and '.join(['texts', *also])}. Use another agent, or say in the model's "
                    "`inputs` what it takes."
                }
            )


def kind_of(media_type: str) -> str:
    """As the `inputs` of models have it: `image` or `file`; `text` for what every model takes."""
    if media_type in IMAGES:
        return "image"
    return "file" if media_type == PDF else "text"


def text_of(content: bytes) -> str:
    """The text of a text file."""
    return content.decode("utf-8-sig")


def clean_name(name: str) -> str:
    """A name that can be shown: without folders, control characters and marks that turn writing around."""
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(" " if letter.isspace() else letter for letter in name)
    kept = "".join(letter for letter in kept if unicodedata.category(letter)[0] != "C")
    stem, dot, ending = kept.strip(" .").rpartition(".")
    if not dot:
        return ending[:LONGEST_NAME] or "file"
    ending = ending[:20]
    return f"{stem[: LONGEST_NAME - len(ending) - 1].rstrip(' .') or 'file'}.{ending}"


def _text_type(content: bytes, ending: str, said: str) -> str:
    try:
        text = text_of(content)
    except UnicodeDecodeError:
        raise _refused(f"Its type is not known; send {ACCEPTED}, texts in UTF-8.") from None
    if _CONTROL.search(text):
        raise _refused(f"Its type is not known; send {ACCEPTED}.")
    if MARKUP.match(text):
        raise _refused(f"HTML, SVG and XML are not taken; send {ACCEPTED}.")
    if ending not in TEXT:
        raise _refused(f"It is a text, and its name ends with .{ending[:20]}; send {ACCEPTED}.")
    is_text = said.startswith("text/") and said not in ("text/html", "text/xml")
    if not (said in SAYS_NOTHING or said in SAID_OF_TEXT or is_text):
        raise _refused(f"It is a text, and is said to be {said[:100]!r}.")
    if ending == "json":
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _refused("Its name ends with .json, and it is not JSON.") from None
    return TEXT[ending]


def _check_pixels(content: bytes) -> None:
    """From the header alone: a small file may unpack to any size."""
    try:
        width, height = imagesize.get(io.BytesIO(content))
    except Exception:
        width, height = -1, -1
    if width <= 0 or height <= 0:
        raise _refused("The picture is damaged: it does not say how large it is.")
    if width > LONGEST_SIDE or height > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise _refused(
            f"The picture has {width} × {height} pixels; at most {LONGEST_SIDE:,} on a side and {MOST_PIXELS:,} in all."
        )


def _refused(message: str) -> Invalid:
    return Invalid({"file": message})
