"""What is made of the measurements: ratios within a round, goals told as they are, and both files from one run."""

from __future__ import annotations

import msgspec

from bench import latency, sidecars
from bench.load import Seen
from bench.machine import Machine
from bench.page import Run, document, page, results_in
from bench.result import Curve, Goal, Result, Sample, figure
from bench.scope import QUICK
from bench.ways import WAYS, WayName

P50_US: dict[WayName, float] = {"direct": 50, "bare": 200, "byway": 260}
MACHINE = Machine(
    processor="a processor", n_cores=2, memory_gb=4, kernel="6.1", python="3.11", envoy="1.40.0", load_before=0.1
)


def a_round(slowness: float) -> latency.Round:
    """A round on a machine that is so many times slower, the same for all ways."""
    return {
        (way, n): latency.Visit(
            Seen(n_requests=1000, seconds=1, n_errors=0, p50_us=P50_US[way] * slowness, p99_us=900 * slowness), 0.1
        )
        for way in WAYS
        for n in latency.CONNECTIONS
    }


def found(rounds: list[latency.Round]) -> dict[str, Result]:
    return {result.name: result for result in latency.figures(rounds)}


def test_a_machine_that_is_slow_in_one_round_changes_no_ratio() -> None:
    values = {n: found([a_round(s) for s in s_list])["pair_p50_byway_to_bare_c1"].value
              for n, s_list in enumerate(((1, 1, 1), (1, 7, 2)))}  # fmt: skip
    assert values == {0: 1.3, 1: 1.3}


def test_a_missed_goal_is_missed_and_rounds_within_it_are_counted() -> None:
    result = found([a_round(1), a_round(2)])["pair_p50_byway_to_bare_c1"]
    assert result.verdict == "missed"
    assert result.detail == "390 : 300 µs; rounds 1.30 to 1.30, 0 of 2 within the goal"


def test_every_figure_has_a_name_of_its_own() -> None:
    results = latency.figures([a_round(1)])
    assert len({result.name for result in results}) == len(results)


def test_the_page_shows_a_missed_goal_and_the_last_run() -> None:
    result = Result(name="x_ms", value=160, unit="ms", how="by a clock", goal=Goal(150), group="Times")
    text = page(Run(machine=MACHINE, scope=QUICK, seconds=9, results=(result,)), {"x_ms": 140.0})
    assert "| `x_ms` | 160 ms | ≤ 150: **missed** | 140 |  | by a clock |" in text


def test_what_was_not_measured_again_is_kept_and_said_to_be() -> None:
    """And a figure that was measured again stands only once, with its new value."""
    old = [Result(name=n, value=1, unit="s", how="", group=g) for n, g in (("a", "One"), ("b", "Two"), ("c", "One"))]
    new = Result(name="b", value=2, unit="s", how="", group="Two")
    run = Run(machine=MACHINE, scope=QUICK, seconds=9, results=(new,), kept=tuple(old))
    assert [(r.name, r.value) for r in run.everything] == [("a", 1), ("c", 1), ("b", 2)]
    text = page(run, {"a": 1, "b": 1, "c": 1})
    assert "| `a` | 1 s |  | kept |" in text
    assert "| `b` | 2 s |  | 1 s |" in text


def test_figures_are_rounded_for_reading() -> None:
    assert [figure(v) for v in (1.234, 12.34, 1234.5, 24.0)] == ["1.23", "12.3", "1,234", "24"]


def test_a_sample_knows_its_middle_and_its_ends() -> None:
    sample = Sample.of([3, 1, 2])
    assert (sample.median, sample.spread) == (2, "1 to 3")


def test_what_is_kept_of_a_run_can_be_read_again() -> None:
    run = Run(machine=MACHINE, scope=QUICK, seconds=1, results=latency.figures([a_round(1)]))
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run


def readings(*sizes: int, megabytes: float, grows: float = 0) -> list[tuple[int, list[sidecars.Reading]]]:
    """Three starts for each size."""
    return [(n, [sidecars.Reading(megabytes + grows * n + k / 10, 1 + k, n) for k in range(3)]) for n in sizes]


def test_a_sidecars_growth_has_its_goal_where_the_mesh_is_large_and_a_picture_of_both_modes() -> None:
    lazy, eager = readings(20, 10_000, megabytes=16), readings(20, 5_000, megabytes=16, grows=0.08)
    grown: sidecars.Grown = {**{(n, "lazy"): found for n, found in lazy}, **{(n, "eager"): found for n, found in eager}}
    results = {result.name: result for result in sidecars.figures(grown)}
    assert (results["sidecar_memory_growth"].value, results["sidecar_memory_growth"].verdict) == (0, "met")
    assert results["sidecar_memory_growth_eager"].value > 2_000
    assert "more would exceed the heap" in results["sidecar_memory_growth_eager"].detail
    text = page(Run(machine=MACHINE, scope=QUICK, seconds=9, results=tuple(results.values())), {})
    assert 'x-axis "services in the mesh" ["20", "10,000"]' in text
    assert "    line [16.1, 16.1]\n    line [17.7, 416.1]" in text
    small = sidecars.figures({(n, mode): found for (n, mode), found in grown.items() if n < 10_000} | {
        (100, "lazy"): grown[20, "lazy"]
    })  # fmt: skip
    assert small[0].goal is None


def test_a_picture_is_kept_with_its_figure() -> None:
    """Else a later run of other groups would lose it."""
    curve = Curve(title="t", unit="MB", x_axis="services", x=("1", "2"), lines={"lazy": (1.0, 2.0)})
    result = Result(name="a", value=1, unit="%", how="", group="One", curve=curve)
    (kept,) = results_in(document(Run(machine=MACHINE, scope=QUICK, seconds=9, results=(result,))))
    assert kept == result


def test_a_kept_figure_says_which_run_it_is_of() -> None:
    old = Result(name="a", value=1, unit="×", how="", group="One")
    first = Run(machine=MACHINE, scope=QUICK, seconds=9, began="2026-01-31 09:30", results=(old,))
    new = Result(name="b", value=0.61, unit="s", how="", goal=Goal(1), group="One")
    second = Run(
        machine=MACHINE,
        scope=QUICK,
        seconds=9,
        began="2026-02-01 10:00",
        results=(new,),
        kept=results_in(document(first)),
    )
    assert [r.measured for r in results_in(document(second))] == ["2026-02-01 10:00", "2026-01-31 09:30"]
    text = page(second, {})
    assert "| `a` | 1 × |  | kept, 2026-01-31 09:30 |" in text
    assert "| `b` | 610 ms | ≤ 1 s: met |" in text
