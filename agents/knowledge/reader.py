"""The process that reads one document: its bytes come in, its chunks go out, and it may take so much and no more.

    python -m agents.knowledge.reader '{"media_type", "size", "overlap", "memory", "seconds", "chunks"}' < file

A file that makes a library loop, recurse or allocate without end ends this process, and nothing else. It gets neither
the platform's environment nor its settings. On standard output: a line of JSON for each chunk, `[text, heading, page,
first line, last line]`, and at last `{"done": true}` or `{"error": "…"}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from agents.knowledge.chunking import chunks
from agents.knowledge.formats import blocks_of
from agents.knowledge.media import Unreadable


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    limit(options["memory"], options["seconds"])
    data = sys.stdin.buffer.read()
    try:
        count = 0
        for piece in chunks(blocks_of(data, options["media_type"]), options["size"], options["overlap"]):
            if (count := count + 1) > options["chunks"]:
                raise Unreadable(
                    f"The document has more than {options['chunks']:,} chunks. Send it in parts."
                )
            say([piece.text, piece.heading, piece.page, piece.first_line, piece.last_line])
        if not count:
            raise Unreadable(
                "There is no text in it. Of scanned pages, only pictures are there: send a text of them."
            )
        say({"done": True})
    except Unreadable as error:
        say({"error": str(error)})
    except MemoryError:
        say({"error": "Reading it takes more memory than a document may."})
    except RecursionError:
        say({"error": "It is nested too deep to be read."})
    except Exception as error:
        say({"error": f"It is damaged, or no file of its kind ({type(error).__name__})."})


def limit(memory: int, seconds: int) -> None:
    """Where the system has such limits: bytes of memory, seconds of work, no files written, few opened."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def say(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    sys.stdout.buffer.write(text + b"\n")


if __name__ == "__main__":
    main()
