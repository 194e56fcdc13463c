"""The soak's instruments: slopes, bars, plots, how often what is done; and a soak of seconds of the real platform."""

from __future__ import annotations

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import loop
from bench.connection import Connection
from bench.endpoint import Endpoint
from bench.platform import HOST
from bench.soak import pictures, report, verdict
from bench.soak.load import NOW_AND_THEN, SHARES, schedule
from bench.soak.receiver import Receiver
from bench.soak.recording import Point, Recording, percentiles
from bench.soak.slope import line
from bench.soak.soaking import soaked, together
from bench.soak.work import Work

SVG = "{http://www.w3.org/2000/svg}"


def test_a_slope_is_per_minute() -> None:
    found = line([(0.0, 100.0), (30.0, 101.0), (60.0, 102.0)])
    assert (found.per_minute, found.error, found.at_zero) == pytest.approx((2.0, 0.0, 100.0))


def test_a_slope_is_that_of_the_least_squares() -> None:
    found = line([(0.0, 1.0), (60.0, 3.0), (120.0, 2.0)])
    assert (found.per_minute, found.at_zero, found.at(120.0)) == pytest.approx((0.5, 1.5, 2.5))
    # The residuals are -0.5, 1, -0.5: sqrt(1.5 / (3 - 2) / 2) a minute.
    assert found.error == pytest.approx(0.75**0.5)


@pytest.mark.parametrize("points", [[], [(5.0, 7.0)], [(5.0, 6.0), (5.0, 8.0)]])
def test_what_has_no_extent_in_time_has_no_slope(points: list[Point]) -> None:
    assert line(points).per_minute == 0


def recording(**slopes: float) -> Recording:
    """Fifteen minutes of all series, level but for these (per minute; `_` stands for a space)."""
    made = Recording({"date": "today", "load": "20 works a second"}, 900.0, 180.0)
    names = ["memory web", "memory worker 1", "memory PostgreSQL", "memory Redis", "connections"]
    names += ["connections active", "connections Redis", "connections idle in transaction"]
    names += [
        "oldest transaction",
        "descriptors web",
        "descriptors worker 1",
        "threads web",
        "threads worker 1",
    ]
    names += [f"{name} p{percent}" for name in ("event lag", "queue wait") for percent in (50, 95)]
    names += [f"latency {name} p{percent}" for name in ("chat", "read") for percent in (50, 95)]
    names += ["queue depth", "roll-up lag", "works under way"]
    for name in names:
        slope = slopes.get(name.replace(" ", "_"), 0.0)
        for second in range(0, 905, 5):
            made.add(name, float(second), 50.0 + slope * second / 60)
    made.counts = dict.fromkeys(verdict.NOTHING_OF, 0)
    return made


def missed(made: Recording) -> list[str]:
    return [row.label for section in verdict.judge(made) for row in section.rows if row.holds is False]


def test_what_is_level_holds() -> None:
    assert verdict.holds(verdict.judge(recording()))


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("memory worker 1", 1.2),
        ("connections", 0.6),
        ("connections Redis", 0.6),
        ("descriptors web", 0.6),
        ("threads web", 0.6),
        ("event lag p50", 1.5),
        ("event lag p95", 6.0),
        ("queue wait p95", 6.0),
        ("roll-up lag", 0.06),
    ],
)
def test_what_grows_is_missed(name: str, slope: float) -> None:
    assert missed(recording(**{name.replace(" ", "_"): slope})) == [name]


def test_postgresql_may_fill_its_buffers() -> None:
    assert not missed(recording(memory_PostgreSQL=3.0))


def test_memory_may_grow_a_little() -> None:
    assert not missed(recording(memory_web=0.9))


def test_connections_that_stay_open_are_missed_where_their_slope_is_small() -> None:
    made = recording()
    made.series["connections"] = [(at, 50.0 + 5 * (at > 845)) for at, _ in made.series["connections"]]
    assert missed(made) == ["connections"]


def test_the_warm_up_is_not_judged() -> None:
    made = recording()
    made.series["memory web"] = [(at, min(at, 180.0)) for at, _ in made.series["memory web"]]
    assert not missed(made)


@pytest.mark.parametrize("name", verdict.NOTHING_OF)
def test_nothing_may_go_wrong(name: str) -> None:
    made = recording()
    made.counts[name] = 1
    assert missed(made) == [name]


def test_the_table_says_what_is_missed() -> None:
    made = recording(memory_web=2.0)
    shown = report.text(made, verdict.judge(made))
    row = next(found for found in shown.split("\n") if "memory web" in found)
    assert row.split()[-7:] == ["+2.00", "±", "0.00", "<", "1", "MB/min", "NO"]
    assert shown.endswith("Missed: memory web.")


def test_the_page_has_all_rows_and_its_picture() -> None:
    made = recording()
    sections = verdict.judge(made)
    page = report.markdown(made, sections, "soak.svg")
    rows = [found for found in page.split("\n") if found.startswith("| ") and not found.startswith("| |")]
    assert len(rows) == sum(len(section.rows) for section in sections)
    assert "](soak.svg)" in page


def test_the_picture_shows_every_plot_with_its_unit_and_slope() -> None:
    made = recording(memory_web=0.5)
    root = ElementTree.fromstring(pictures.drawn(made))
    shown = [element.text for element in root.iter(f"{SVG}text")]
    for plot in pictures.wanted(made):
        assert {plot.title, plot.unit} <= set(shown)
    assert "+0.50 a minute" in shown
    assert "15 min" in shown


def test_the_picture_is_well_formed_whatever_it_is_called() -> None:
    made = recording()
    made.about["load"] = '"><script>&'
    assert "<script" not in pictures.drawn(made)
    ElementTree.fromstring(pictures.drawn(made))


def test_the_picture_leaves_out_what_was_not_seen() -> None:
    made = recording()
    del made.series["memory Redis"], made.series["roll-up lag"]
    assert "Roll-ups" not in pictures.drawn(made)


def test_moments_are_round() -> None:
    assert [label for _, label in pictures.moments(900.0)] == ["0", "3", "6", "9", "12", "15 min"]
    assert [label for _, label in pictures.moments(20.0)] == ["0", "5", "10", "15", "20 s"]


def test_a_recording_is_stored_as_it_is(tmp_path: Path) -> None:
    made = recording()
    made.store(tmp_path / "soak.json")
    assert Recording.load(tmp_path / "soak.json") == made


def test_percentiles_are_of_windows() -> None:
    points = [(float(second), float(second)) for second in range(240)] + [(900.0, 1.0)]
    assert percentiles(points, 720.0, 50) == [(30.0, 30.0), (90.0, 90.0), (150.0, 150.0), (210.0, 210.0)]


def test_the_memory_of_all_processes_leaves_out_what_is_not_theirs() -> None:
    assert together(recording())[0] == (0.0, 100.0)


def test_all_kinds_of_work_are_done_as_often_as_said() -> None:
    done = [kind for _, kind in schedule(20.0, 60.0)]
    assert {kind: done.count(kind) / 12 for kind in SHARES} == SHARES
    assert {kind: done.count(kind) for kind in NOW_AND_THEN} == {"export": 3, "workbook": 1}
    assert all(hasattr(Work, kind) for kind in (*SHARES, *NOW_AND_THEN))


async def test_a_message_that_is_repeated_counts_once() -> None:
    async with Receiver() as receiver:
        port = int(receiver.url.split(":")[2])
        body = {"data": {"run_id": "a"}}
        for name in ("one", "one", "two"):
            connection = await Connection.open(HOST, port, {"webhook-id": name})
            await connection.request("POST", "/hook", body, expect=200)
            connection.close()
        await asyncio.sleep(0)
    assert receiver.ended == {"a": 2}


@pytest.mark.slow
def test_a_soak_of_seconds_goes_well() -> None:
    assert {kind for _, kind in schedule(12.0, 5.0)} >= SHARES.keys()
    with Endpoint() as endpoint:
        made = loop.run(soaked(endpoint, "", 5.0, 12.0))
    assert {name: made.counts[name] for name in verdict.NOTHING_OF} == dict.fromkeys(verdict.NOTHING_OF, 0)
    assert made.counts["works"] == 60
    judged = {row.label for section in verdict.judge(made) for row in section.rows if row.last}
    assert {
        "memory platform",
        "memory PostgreSQL",
        "connections",
        "event lag p50",
        "queue wait p50",
    } <= judged
    ElementTree.fromstring(pictures.drawn(made))
