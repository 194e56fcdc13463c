"""Everything that the chat page's script says, in the reader's language; braces are filled in by the script."""

from __future__ import annotations

from django.utils.translation import gettext as _

from runs import pages


def texts() -> dict[str, str]:
    """Those of a run's live page, whose parts are shown here too, and the chat's own."""
    return pages.texts() | {
        "new_chat": _("New chat"),
        "unnamed": _("New chat"),
        "conversations": _("Conversations"),
        "no_conversations": _("No conversations yet."),
        "choose": _("Choose a conversation to read it."),
        "no_agents": _(
            "There is no agent yet that could answer. Someone who runs the workspace can add one."
        ),
        "gone": _("This conversation is not there any more."),
        "found": _("{count} found"),
        "name": _("Name"),
        "you": _("You"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "edit": _("Edit"),
        "edit_hint": _(
            "The conversation goes on from here on a branch of its own; what was said before stays."
        ),
        "send": _("Send"),
        "cancel": _("Cancel"),
        "retry": _("Try again"),
        "regenerate": _("Answer again"),
        "branch": _("Go on in a new conversation"),
        "steps": _("Show the steps"),
        "resume": _("Resume"),
        "versions": _("Versions"),
        "version_before": _("Version before"),
        "version_after": _("Next version"),
        "thinking": _("Thinking …"),
        "waits_turn": _("Waits for its turn"),
        "stopped": _("Stopped."),
        "failed": _("The answer has failed."),
        "decide": _("Waits for your decision"),
        "tokens": _("{count} tokens"),
        "to_run": _("Details of the run"),
        "table": _("Table"),
        "show_all": _("Show all {count} characters"),
        "attachments": _("Attachments"),
        "download": _("Download"),
        "detach": _("Remove {name}"),
        "not_attached": _("{name} was not attached: {why}"),
        "source": _("Source {number}"),
        "sources": _("Sources ({count})"),
        "said": _("{name} has answered: {text}"),
        "said_failed": _("The answer of {name} has failed."),
        "said_stopped": _("The answer of {name} was stopped."),
        "busy": _("An answer is still under way here. Stop it first."),
        "fault_0": _("The platform does not answer. Check the connection and try again."),
        "fault_401": _("You are not signed in any more."),
        "fault_429": _("That was too much at once. Wait a moment and try again."),
        "fault_500": _("Something went wrong on the platform. Try again; its log has the details."),
        "fault_503": _("The platform is busy or restarting. Try again in a moment."),
    }
