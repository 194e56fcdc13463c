"""Whether a file is as it was exported: by its manifest, over the API and by the command."""

import io
import json

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from agentplatform.lib.hash_chain import seal_next
from billing.exports import files
from billing.sealing import LEDGER

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def output(tmp_path, used):
    """A file of three calls that the command has exported, with its manifest beside it."""
    for _ in range(3):
        used()
    seal_next(LEDGER)
    return tmp_path / "usage.csv"


def export(output, *options: str) -> None:
    call_command("export_usage", "--workspace=acme", f"--output={output}", *options, stdout=io.StringIO())


def verified(output, *more: object) -> str:
    told = io.StringIO()
    try:
        call_command("verify_export", str(output), *map(str, more), stdout=told)
    except CommandError as error:
        return str(error)
    return told.getvalue()


def checks(output) -> list[str]:
    """The names of what differs."""
    return [line.partition(":")[0] for line in verified(output).splitlines()[1:]]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--bom", "--decimal=comma", "--delimiter=;", "--tz=Europe/Berlin"],
        ["--format=jsonl", "--compression=gzip"],
        ["--format=xlsx"],
        ["--filter=model=gpt-4o-mini", "--columns=cost,currency"],
    ],
)
def test_finds_nothing_in_what_is_as_it_was(output, options):
    export(output, *options)
    assert "is as it was exported: 3 rows; the ledger's chain is unchanged at position 3" in verified(output)


def test_finds_one_changed_byte(output):
    export(output)
    content = bytearray(output.read_bytes())
    content[-40] ^= 1
    output.write_bytes(content)
    assert "sha256" in checks(output)


@pytest.mark.parametrize(
    "options", [[], ["--format=jsonl"], ["--decimal=comma", "--delimiter=;"], ["--compression=gzip"]]
)
def test_says_which_sum_differs(output, options):
    export(output, "--columns=input_tokens,cost,currency", *options)
    content = output.read_bytes()
    if "--compression=gzip" in options:
        import gzip

        output.write_bytes(gzip.compress(gzip.decompress(content).replace(b"1000", b"2000", 1)))
    else:
        output.write_bytes(content.replace(b"1000", b"2000", 1))
    assert [name for name in checks(output) if name != "size"] == ["sha256", "sums.input_tokens"]


def test_says_which_amount_differs(output):
    export(output)
    output.write_bytes(output.read_bytes().replace(b"0.00021", b"0.00022", 1))
    assert checks(output) == ["sha256", "sums.cost"]


def test_says_that_a_row_is_missing(output):
    export(output)
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:-1]))
    assert {"size", "sha256", "rows"} <= set(checks(output))


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe", b'a,b\n"', b"{}\n[]\n"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_survives_rubbish(output, rubbish, form):
    export(output, f"--format={form}")
    output.write_bytes(rubbish)
    assert "sha256" in checks(output)


def test_finds_a_changed_manifest(output):
    export(output)
    path = output.with_name("usage.csv.manifest.json")
    path.write_text(path.read_text().replace('"rows": 3', '"rows": 4'))
    assert checks(output) == ["signature", "rows"]


@pytest.mark.parametrize("text", ["[]", "{}", "nothing", '{"file": 1}'])
def test_refuses_what_is_no_manifest(output, tmp_path, text):
    export(output)
    other = tmp_path / "other.json"
    other.write_text(text)
    assert "manifest" in verified(output, other) or "no JSON" in verified(output, other)


def test_knows_a_manifest_of_an_earlier_key(output, settings):
    export(output)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, [settings.SECRET_KEY]
    assert checks(output) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM billing_ledgerseal WHERE position = 3",
        "UPDATE billing_ledgerseal SET hash = sha256('x') WHERE position = 3",
    ],
)
def test_finds_a_ledger_that_is_another_than_then(output, statement):
    export(output)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
    assert checks(output) == ["ledger"]


def test_says_what_is_wrong_with_the_command(output):
    with pytest.raises(CommandError, match="There is no column price"):
        export(output, "--columns=price")


def test_leaves_no_file_where_it_fails(output, settings):
    settings.EXPORT_MAX_BYTES = 10
    with pytest.raises(CommandError, match="EXPORT_MAX_BYTES"):
        export(output)
    assert list(output.parent.glob("usage.csv*")) == []


def test_says_who_asked_for_nothing(output):
    export(output)
    manifest = json.loads(output.with_name("usage.csv.manifest.json").read_text())
    assert manifest["asked_by"] == {"user_id": None, "user": None, "api_key_id": None, "api_key": None}


# over the API


def test_verifies_what_is_stored(used, made, api, audrey):
    used()
    export = made()
    assert api(audrey).post(f"/billing/exports/{export.pk}/verify").json() == {
        "intact": True,
        "differences": [],
    }


def test_finds_a_byte_that_was_changed_in_the_storage(used, made, api, audrey):
    used()
    export = made()
    name = files.name_of(export, export.attempt)
    path = default_storage.path(name)
    with open(path, "r+b") as file:
        file.seek(-40, io.SEEK_END)
        file.write(b"X")
    found = api(audrey).post(f"/billing/exports/{export.pk}/verify").json()
    assert (found["intact"], found["differences"][0]["check"]) == (False, "sha256")


def test_says_that_the_storage_has_nothing(used, made, api, audrey):
    export = made()
    default_storage.delete(files.name_of(export, export.attempt))
    assert api(audrey).post(f"/billing/exports/{export.pk}/verify").status_code == 503
