"""Twenty questions about this project, as people ask them, and where its own documents answer them."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
SOURCES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
LOOKED_AT = 5
"""The right passage has to be among so many: an agent is shown six."""

# A question, and the documents with words that only a right passage has.
QUESTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "What happens to a run when its worker is killed?",
        {
            "architecture.md": "beat is older than three seconds",
            "operations.md": "lost three workers fails with",
        },
    ),
    (
        "What opens a WebSocket from a browser, without a token in the URL?",
        {"api.md": "A ticket opens one stream", "decisions.md": "in browsers send no headers"},
    ),
    ("Why was cronsim chosen for cron expressions?", {"decisions.md": "cronsim follows Debian's cron"}),
    ("Which library lays out the pictures of workflows?", {"decisions.md": "grandalf"}),
    ("How do I rotate the key that encrypts secrets?", {"operations.md": "rotate_secrets"}),
    (
        "How must nginx be configured so that streams are not buffered?",
        {"operations.md": "proxy_buffering off"},
    ),
    ("In which order are locks taken?", {"architecture.md": "a run before the runs below it"}),
    ("How can I repeat a request without starting a second run?", {"api.md": "With `Idempotency-Key:"}),
    (
        "Which language are expressions in workflows written in?",
        {"workflows.md": "CEL", "decisions.md": "cel-expr-python"},
    ),
    ("How does search find words in Chinese messages?", {"decisions.md": "each pair of"}),
    (
        "What do ids of tool calls look like in the OpenAI API?",
        {"decisions.md": "call_<run>_<n>", "openai.md": "name the run"},
    ),
    ("Which commands may be started as MCP servers?", {"mcp.md": "has to stand in `MCP_ALLOWED_COMMANDS`"}),
    ("What does the event budget_warning tell?", {"events.md": "four fifths of one of its limits"}),
    ("After how long is a failed delivery to a webhook tried again?", {"api.md": "30 s, 2 min, 10 min"}),
    ("How do I verify the signature of a webhook?", {"api.md": "standardwebhooks"}),
    ("What is a role permitted to do?", {"api.md": "| permission | admin | operator"}),
    ("How large may the body of a request be?", {"api.md": "A body has at most `MAX_REQUEST_BYTES`"}),
    (
        "How soon do the runs of a killed worker go on, in seconds?",
        {"performance.md": "A killed worker's runs go on after"},
    ),
    (
        "Where do prices of model calls come from?",
        {
            "api.md": "priced as it is recorded",
            "decisions.md": "Calls are priced as they are recorded",
            "operations.md": "prices come with the package",
        },
    ),
    (
        "What has to be done when the embedded database does not answer?",
        {"operations.md": "**When it does not answer**"},
    ),
)


def rank_of(passages, answers: dict[str, str]) -> int:
    """The place of the first right passage, from 1; 0: there is none among them."""
    for place, passage in enumerate(passages, 1):
        words = answers.get(passage.document)
        if words and " ".join(words.split()) in " ".join(passage.text.split()):
            return place
    return 0
