"""Totals over proxies are true whatever restarts and whatever order reports come in."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from byway.telemetry.aggregation import SILENCE_S, Aggregate, Source

NAME, LABELS = "istio_requests_total", (("reporter", "source"),)


class Fleet:
    """Envoys that count, and the aggregate that they report to."""

    def __init__(self) -> None:
        self.aggregate = Aggregate()
        self.epochs: dict[int, int] = defaultdict(int)
        self.counted: dict[tuple[int, int], int] = defaultdict(int)
        self.streams: dict[tuple[int, int], list[tuple[Source, int]]] = defaultdict(list)
        self.reported: dict[tuple[int, int], int] = defaultdict(int)

    def life(self, proxy: int) -> tuple[int, int]:
        return proxy, self.epochs[proxy]

    def connect(self, life: tuple[int, int]) -> None:
        source, number, _ = self.aggregate.open(f"proxy-{life[0]}", str(life[1]), 0.0)
        self.streams[life].append((source, number))

    def report(self, life: tuple[int, int], value: int, *, late_stream: bool = False) -> None:
        if not self.streams[life]:
            self.connect(life)
        source, number = self.streams[life][0 if late_stream else -1]
        counter = self.aggregate.counter(source, NAME, LABELS)
        assert counter is not None
        counter.total += source.increment(counter, value, number)

    def total(self) -> float:
        return sum(counter.total for counter in self.aggregate.counters())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["request", "report", "restart", "reconnect", "late stream", "late life"]), st.integers(0, 2)
    ),
    max_size=60,
)


@given(STEPS)
def test_any_interleaving_of_restarts_and_reconnects_sums_to_what_was_reported(steps: list[tuple[str, int]]) -> None:
    """The total is the sum, over all lives of all Envoys, of the last value that each has reported."""
    fleet = Fleet()
    for step, proxy in steps:
        life = fleet.life(proxy)
        match step:
            case "request":
                fleet.counted[life] += 1
            case "report":
                fleet.report(life, fleet.counted[life])
                fleet.reported[life] = fleet.counted[life]
            case "restart":
                fleet.epochs[proxy] += 1
            case "reconnect":
                fleet.connect(life)
            case "late stream" if len(fleet.streams[life]) > 1:
                # an older stream's message, overtaken by the newer stream, holds an older total
                fleet.report(life, fleet.reported[life] // 2, late_stream=True)
            case "late life" if life[1] > 0:
                # the last words of the Envoy before, heard after its successor has spoken
                before = (proxy, life[1] - 1)
                fleet.report(before, fleet.counted[before])
                fleet.reported[before] = fleet.counted[before]
    assert fleet.total() == sum(fleet.reported.values())


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20))
def test_a_restarted_control_plane_hears_the_same_totals_again(values: list[int]) -> None:
    """A fresh aggregate counts each life's total once, however often it comes."""
    totals = sorted(values)
    aggregate = Aggregate()
    source, number, is_known = aggregate.open("web-1", "e", 0.0)
    assert not is_known
    counter = aggregate.counter(source, NAME, LABELS)
    assert counter is not None
    for value in [*totals, totals[-1], totals[-1]]:
        counter.total += source.increment(counter, value, number)
    assert counter.total == totals[-1]


def test_a_counter_that_envoy_made_anew_counts_from_zero() -> None:
    """Within one epoch a lower total means that the counter was dropped and started again."""
    source, number, _ = (aggregate := Aggregate()).open("web-1", "e", 0.0)
    counter = aggregate.counter(source, NAME, LABELS)
    assert counter is not None
    assert [source.increment(counter, value, number) for value in (5, 7, 2, 3)] == [5, 2, 2, 1]


def test_a_proxy_with_too_many_series_is_bounded_and_harms_nobody_else() -> None:
    """The overflow is counted, the other proxies' series find room."""
    aggregate = Aggregate(series_per_source=3, series=100)
    noisy, _, _ = aggregate.open("noisy", "e", 0.0)
    quiet, _, _ = aggregate.open("quiet", "e", 0.0)
    made = [aggregate.counter(noisy, NAME, (("path", str(n)),)) for n in range(10)]
    assert sum(counter is not None for counter in made) == 3
    assert aggregate.n_series_refused == 7
    assert aggregate.counter(quiet, NAME, LABELS) is not None


def test_all_series_together_are_bounded() -> None:
    """Known series still count when there is no room for new ones."""
    aggregate = Aggregate(series=2)
    source, _, _ = aggregate.open("web-1", "e", 0.0)
    made = [aggregate.counter(source, NAME, (("n", str(n)),)) for n in (1, 2, 3, 1)]
    assert [counter is not None for counter in made] == [True, True, False, True]


def test_sources_are_bounded_and_the_longest_unconnected_goes_first() -> None:
    """A reconnect makes a source the youngest."""
    aggregate = Aggregate(sources=2)
    for instance in ("a", "b", "a", "c"):
        aggregate.open(instance, "e", 0.0)
    assert aggregate.n_sources == 2
    assert aggregate.open("a", "e", 0.0)[2]
    assert not aggregate.open("b", "e", 0.0)[2]


def test_what_nobody_reports_any_more_is_forgotten_after_a_day() -> None:
    """Series and sources; what is still reported stays."""
    aggregate = Aggregate()
    source, number, _ = aggregate.open("web-1", "e", 0.0)
    old = aggregate.counter(source, NAME, LABELS)
    new = aggregate.counter(source, NAME, (("reporter", "destination"),))
    spread = aggregate.histogram(source, "istio_request_bytes", LABELS, (1.0, 2.0))
    assert old is not None
    assert new is not None
    assert spread is not None
    source.increment(old, 4, number)
    source.seen_s = new.seen_s = SILENCE_S + 1
    assert aggregate.expire(SILENCE_S + 1) == 2
    assert list(aggregate.counters()) == [new]
    assert not list(aggregate.histograms())
    assert aggregate.n_sources == 1
    assert aggregate.expire(3 * SILENCE_S) == 1
    assert aggregate.n_sources == 0
