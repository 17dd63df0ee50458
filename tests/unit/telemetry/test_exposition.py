"""Prometheus reads every value that a label may have."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from byway.telemetry.aggregation import Aggregate
from byway.telemetry.exposition import Metric, Sample, exposition


def families(text: str) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    return {
        family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_a_histogram_is_written_with_cumulative_buckets() -> None:
    """Bounds as Istio's, `+Inf` equal to the count."""
    aggregate = Aggregate()
    source, _, _ = aggregate.open("web-1", "e", 0.0)
    histogram = aggregate.histogram(source, "istio_request_bytes", (("reporter", "source"),), (0.5, 1.0, 1800000.0))
    assert histogram is not None
    histogram.add([1, 0, 2], 4, 12.5)
    read = families("".join(exposition(aggregate)))["istio_request_bytes"]
    assert [(labels.get("le"), value) for _, labels, value in read] == [
        ("0.5", 1),
        ("1", 1),
        ("1800000", 3),
        ("+Inf", 4),
        (None, 12.5),
        (None, 4),
    ]


def test_quotes_newlines_and_backslashes_in_labels_are_escaped() -> None:
    """What a parser reads is what was counted."""
    aggregate = Aggregate()
    source, _, _ = aggregate.open("web-1", "e", 0.0)
    nasty = 'a"b\\c\nd} 7\nother{x="'
    counter = aggregate.counter(source, "istio_requests_total", (("destination_app", nasty),))
    assert counter is not None
    counter.total = 3
    read = families("".join(exposition(aggregate)))
    assert read["istio_requests"] == [("istio_requests_total", {"destination_app": nasty}, 3.0)]


def test_the_control_planes_own_metrics_stand_beside_the_meshs() -> None:
    """Providers are asked at each scrape."""

    def provider() -> list[Metric]:
        samples = (Sample(2, (("type", "cds"),)), Sample(float("inf"), (("type", "lds"),)))
        return [Metric(name="pilot_xds_pushes", kind="counter", help="Pushes.", samples=samples)]

    text = "".join(exposition(Aggregate(), [provider]))
    assert text == (
        "# HELP pilot_xds_pushes Pushes.\n# TYPE pilot_xds_pushes counter\n"
        'pilot_xds_pushes{type="cds"} 2\npilot_xds_pushes{type="lds"} +Inf\n'
    )
