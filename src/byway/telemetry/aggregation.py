"""What all proxies have counted, summed: totals that never fall while this process lives.

An Envoy reports counters as totals since its own start, and histograms as what happened since its last report. So a
counter is summed by its increments within one life of one Envoy (`Source`, known by instance and epoch), a histogram by
plain addition. That survives:

- a restart of Envoy: a new epoch is a new source, whose totals start at zero; what the old one reported stays counted,
  also when its last report comes late;
- a reconnect, or a restart of the control plane: the same totals come again and add nothing, or everything once;
- a total that falls within one epoch (Envoy dropped and made the counter anew): it counts from zero again.

Everything is bounded: series in each source and in all, sources, and the time that a silent one is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]

SERIES_PER_SOURCE: Final = 8_000
SERIES: Final = 200_000
SOURCES: Final = 20_000
SILENCE_S: Final = 24 * 3600.0
"""How long a source or series that nobody reports any more is remembered."""


class Counter:
    """One series that only rises."""

    __slots__ = ("labels", "name", "seen_s", "total")

    def __init__(self, name: str, labels: Labels) -> None:
        self.name = name
        self.labels = labels
        self.total = 0.0
        self.seen_s = 0.0


class Histogram:
    """One distribution: `counts[i]` observations lie in `(bounds[i - 1], bounds[i]]`, the rest of `count` above all."""

    __slots__ = ("bounds", "count", "counts", "labels", "name", "seen_s", "total")

    def __init__(self, name: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.labels = labels
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.count = 0
        self.total = 0.0
        self.seen_s = 0.0

    def add(self, counts: list[int], count: int, total: float) -> None:
        """Adds so many observations in each bucket, `count` in all, of sum `total`."""
        mine = self.counts
        for index, n in enumerate(counts):
            if n:
                mine[index] += n
        self.count += count
        self.total += total


class Source:
    """One life of one Envoy, and the last total that it reported of each counter.

    `known` is the reader's memory of which bytes on the wire mean which series.
    """

    __slots__ = ("_last", "epoch", "instance", "known", "n_refused", "n_series", "newest", "seen_s")

    def __init__(self, instance: str, epoch: str) -> None:
        self.instance = instance
        self.epoch = epoch
        self.newest = 0
        self.n_series = 0
        self.n_refused = 0
        self.seen_s = 0.0
        self.known: dict[bytes, Counter | Histogram] = {}
        self._last: dict[Counter, float] = {}

    def increment(self, counter: Counter, value: float, stream: int) -> float:
        """What `value` adds to the total; nothing, when a newer stream of the same Envoy has reported already."""
        if stream < self.newest:
            return 0.0
        last = self._last.get(counter, 0.0)
        self._last[counter] = value
        return value - last if value >= last else value

    def forget(self, gone: set[Counter | Histogram]) -> None:
        """Drops what is known of series that are no longer kept."""
        self._last = {counter: value for counter, value in self._last.items() if counter not in gone}
        self.known = {raw: series for raw, series in self.known.items() if series not in gone}
        self.n_series = len(self.known)


class Aggregate:
    """All series of the mesh."""

    def __init__(
        self, *, series_per_source: int = SERIES_PER_SOURCE, series: int = SERIES, sources: int = SOURCES
    ) -> None:
        self._series_per_source = series_per_source
        self._series_limit = series
        self._sources_limit = sources
        self._counters: dict[Key, Counter] = {}
        self._histograms: dict[Key, Histogram] = {}
        self._sources: dict[tuple[str, str], Source] = {}
        self._n_streams = 0
        self.n_series_refused = 0
        """Series that found no room, counted each time they were reported."""

    def open(self, instance: str, epoch: str, now_s: float) -> tuple[Source, int, bool]:
        """The source behind a new stream, the stream's number, and whether the source was known before."""
        key = (instance, epoch)
        source = self._sources.pop(key, None)
        is_known = source is not None
        if source is None:
            source = Source(instance, epoch)
            while len(self._sources) >= self._sources_limit:
                del self._sources[next(iter(self._sources))]
        self._sources[key] = source  # the last to connect stands last, the first is the one to be forgotten
        self._n_streams += 1
        source.newest = self._n_streams
        source.seen_s = now_s
        return source, self._n_streams, is_known

    def counter(self, source: Source, name: str, labels: Labels) -> Counter | None:
        """The counter of that name and those labels, or None where there is no room for another."""
        found = self._counters.get((name, labels))
        if not self._has_room(source, is_new=found is None):
            return None
        if found is None:
            found = self._counters[name, labels] = Counter(name, labels)
        source.n_series += 1
        return found

    def histogram(self, source: Source, name: str, labels: Labels, bounds: tuple[float, ...]) -> Histogram | None:
        """The histogram of that name and those labels, or None where there is no room for another.

        Other bounds than before (a new configuration) start the distribution anew.
        """
        found = self._histograms.get((name, labels))
        if not self._has_room(source, is_new=found is None):
            return None
        if found is None or found.bounds != bounds:
            found = self._histograms[name, labels] = Histogram(name, labels, bounds)
        source.n_series += 1
        return found

    def _has_room(self, source: Source, *, is_new: bool) -> bool:
        is_full = source.n_series >= self._series_per_source or (is_new and self.n_series >= self._series_limit)
        if is_full:
            source.n_refused += 1
            self.n_series_refused += 1
        return not is_full

    @property
    def n_series(self) -> int:
        """How many series are kept."""
        return len(self._counters) + len(self._histograms)

    @property
    def n_sources(self) -> int:
        """How many lives of Envoys are remembered."""
        return len(self._sources)

    def counters(self) -> Iterator[Counter]:
        """Every counter; the caller must not keep the iterator over an await."""
        return iter(self._counters.values())

    def histograms(self) -> Iterator[Histogram]:
        """Every histogram; the caller must not keep the iterator over an await."""
        return iter(self._histograms.values())

    def expire(self, now_s: float) -> int:
        """Drops sources and series that nobody has reported for `SILENCE_S`; says how many series went."""
        horizon = now_s - SILENCE_S
        for key in [key for key, source in self._sources.items() if source.seen_s < horizon]:
            del self._sources[key]
        gone: set[Counter | Histogram] = set()
        for counter in [counter for counter in self._counters.values() if counter.seen_s < horizon]:
            gone.add(self._counters.pop((counter.name, counter.labels)))
        for histogram in [histogram for histogram in self._histograms.values() if histogram.seen_s < horizon]:
            gone.add(self._histograms.pop((histogram.name, histogram.labels)))
        if gone:
            for source in self._sources.values():
                source.forget(gone)
        return len(gone)
