"""The benchmark's own instruments: what it counts as lost, late or reached."""

from __future__ import annotations

import time

import pytest

from agents.workflows.checks import EmptyCatalogue, check
from bench.connection import Connection, RequestFailed
from bench.limit import Limit
from bench.measures import AT_ONCE, STREAMS, Figures, Limits
from bench.report import Bar, Row, Section, table
from bench.rows import Sections
from bench.scale import Export, Page
from bench.statistics import percentile
from bench.stream import RunStream
from bench.streams import Tokens
from bench.takeover import TakeOver
from bench.throughput import Throughput
from bench.workflows import WorkflowFigures, large_document
from tests.model_endpoint import ModelEndpoint


def frame(seq: int, kind: str = "content_delta", data: str = '{"content": "a"}') -> bytes:
    return f"id: {seq}\nevent: {kind}\ndata: {data}\n\n".encode()


def fed(*pieces: bytes) -> RunStream:
    stream = RunStream()
    for piece in pieces:
        stream.feed(piece)
    return stream


def test_takes_a_complete_stream_as_whole() -> None:
    stream = fed(b"retry: 1000\n\n", frame(1), frame(2), frame(3, "run_completed", "{}"))
    assert stream.is_whole("aa")


def test_joins_events_that_arrive_in_pieces() -> None:
    whole = frame(1) + frame(2)
    stream = fed(*(whole[index : index + 7] for index in range(0, len(whole), 7)))
    assert (stream.faults, "".join(stream.text)) == (0, "aa")


@pytest.mark.parametrize("numbers", [(1, 3), (1, 1), (2, 1), (2,)])
def test_notices_a_hole_a_repeat_and_a_wrong_order(numbers: tuple[int, ...]) -> None:
    assert fed(*map(frame, numbers)).faults


def test_takes_a_failed_run_as_faulty() -> None:
    assert not fed(frame(1), frame(2, "run_failed", "{}")).is_whole("a")


def test_measures_how_late_each_token_came() -> None:
    due = time.monotonic_ns() - 5_000_000
    delays = fed(frame(1, data=f'{{"content": "0@{due}|1@{due}|"}}')).delays_ms()
    assert all(5 <= delays[index] < 100 for index in (0, 1))


def test_leaves_out_a_token_that_came_twice() -> None:
    assert list(fed(frame(1, data='{"content": "0@1|1@1|1@1|"}')).delays_ms()) == [0]


def test_reads_a_token_that_was_split_between_events() -> None:
    split = fed(frame(1, data='{"content": "0@1|1@"}'), frame(2, data='{"content": "5|"}'))
    assert sorted(split.delays_ms()) == [0, 1]


def test_marks_a_bar_that_is_reached_by_the_ratio() -> None:
    assert Row("runs/s", one=60.0, limit=100.0, bar=Bar("≥", 0.5, of_ratio=True)).cells()[-1] == "≥ 50% yes"


def test_marks_a_bar_that_is_missed() -> None:
    assert Row("start, s", one=5.0, bar=Bar("≤", 4)).cells()[-1] == "≤ 4.00 NO"


def test_leaves_cells_empty_that_were_not_measured() -> None:
    assert "None" not in table("title", [Section("section", [Row("label", one=1.0)])])


def test_takes_the_nearest_rank_as_percentile() -> None:
    assert percentile([3.0, 1.0, 2.0, 4.0], 95) == 4.0


def complete_figures() -> Figures:
    return Figures(
        throughput={count: Throughput(100, 0, 60.0, 10.0, 20.0, 12.0, 5.0, 0.4, 0.4) for count in AT_ONCE},
        tokens={count: Tokens(5.0, 50.0, 3500.0, 0) for count in STREAMS},
        restarted=TakeOver(10, 4.0, 0),
        standby=TakeOver(10, 3.0, 0),
        export=Export(1_000_000, 20.0, 80_000.0, 1_000_000),
        export_of_lines=Export(1_000_000, 20.0, 80_000.0, 1_000_000),
        page_completed=Page(5.0, 9.0),
        page_failed=Page(5.0, 9.0),
    )


def complete_limits() -> Limits:
    limit = Limit(120.0, 8.0, 12.0, 6.0, 2.0, 5.0, 4000.0)
    return Limits(dict.fromkeys(AT_ONCE, limit), dict.fromkeys(STREAMS, limit), dict.fromkeys(AT_ONCE, limit))


def test_shows_each_figure_beside_its_limit_and_bar() -> None:
    lines = table("title", Sections(complete_figures(), complete_figures(), complete_limits()).all()).split(
        "\n"
    )
    row = next(line for line in lines if "16 at once: runs/s" in line)
    assert row.split()[-7:] == ["60.0", "60.0", "120", "50%", "≥", "50%", "yes"]


def test_shows_whether_a_large_workflow_is_validated_in_time() -> None:
    limits = complete_limits()
    limits.workflows = WorkflowFigures(validation=400.0, run=20.0, bare_run=10.0)
    lines = table("title", Sections(complete_figures(), None, limits).all()).split("\n")
    row = next(line for line in lines if "validation of 1,000 nodes" in line)
    assert row.split()[-4:] == ["400", "≤", "1,000", "yes"]


def test_measures_a_workflow_of_a_thousand_nodes() -> None:
    document = large_document()
    assert (len(document["nodes"]), check(document, EmptyCatalogue())) == (1_000, [])


def test_leaves_out_what_needs_redis_where_there_is_none() -> None:
    shown = table("title", Sections(complete_figures(), None, complete_limits()).all())
    assert "killed worker" not in shown


async def test_reads_bodies_in_chunks_and_of_a_known_size_over_one_connection() -> None:
    with ModelEndpoint() as endpoint:
        port = int(endpoint.base_url.split(":")[2].split("/")[0])
        connection = await Connection.open("127.0.0.1", port)
        pieces: list[bytes] = []
        body = {"model": "text-3-5", "stream": True, "messages": []}
        await connection.request("POST", "/v1/chat/completions", body, sink=pieces.append, expect=200)
        models = await connection.request("GET", "/v1/models", expect=200)
        connection.close()
    assert (b"".join(pieces).count(b"word"), models.json()["object"]) == (3, "list")


async def test_refuses_another_status_than_expected() -> None:
    with ModelEndpoint() as endpoint:
        port = int(endpoint.base_url.split(":")[2].split("/")[0])
        connection = await Connection.open("127.0.0.1", port)
        with pytest.raises(RequestFailed, match="429"):
            await connection.request("POST", "/v1/chat/completions", {"model": "error-429"}, expect=200)
        connection.close()
