"""What a proxy is told to report."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from google.protobuf import struct_pb2

from byway.xds import telemetry
from byway.xds.telemetry import Peer, Reporter

WEB = Peer(workload="web", namespace="default", app="web", version="v1", principal="spiffe://cluster.local/ns/a/sa/web")
SOURCE = Reporter(reporter="source", peer=WEB)
DESTINATION = Reporter(reporter="destination", peer=WEB, security="mutual_tls")


def stats(logs: list[Any]) -> list[Any]:
    return [
        stats_pb2.Config.FromString(log.typed_config.value) for log in logs if log.name == "envoy.access_loggers.stats"
    ]


@pytest.mark.parametrize("reporter", [SOURCE, DESTINATION])
def test_no_label_is_taken_from_what_a_caller_chooses(reporter: Reporter) -> None:
    """No header, host or path is a label, so nobody can make series without end."""
    configs = stats(telemetry.http_access_logs(reporter) + telemetry.tcp_access_logs(reporter))
    formats = [
        tag.value_format
        for config in configs
        for stat in [*(c.stat for c in config.counters), *(h.stat for h in config.histograms)]
        for tag in stat.tags
    ]
    assert formats
    assert not [text for text in formats if any(word in text for word in ("REQ(", "RESP(", "PATH", "SERVER_NAME"))]


def test_labels_that_are_not_known_are_left_out() -> None:
    """Envoy refuses an empty format."""
    bare = Reporter(reporter="source", peer=Peer(workload="web", namespace="default"))
    for config in stats(telemetry.http_access_logs(bare)):
        tags = {tag.name: tag.value_format for tag in config.counters[0].stat.tags}
        assert all(tags.values())
        assert "source_version" not in tags
        assert tags["source_canonical_revision"] == "latest"


def test_a_percent_sign_in_a_name_is_no_format() -> None:
    """A label of an object is text, whatever it holds."""
    odd = Reporter(reporter="source", peer=Peer(workload="web", namespace="default", version="%REQ(COOKIE)%"))
    tags = {tag.name: tag.value_format for tag in stats(telemetry.http_access_logs(odd))[0].counters[0].stat.tags}
    assert tags["source_version"] == "%%REQ(COOKIE)%%"


def test_the_source_header_holds_the_workload_and_overwrites() -> None:
    """As the value that Envoy's header_to_metadata decodes."""
    option = telemetry.source_header(WEB)
    value = struct_pb2.Value.FromString(base64.b64decode(option.header.value))
    assert dict(value.struct_value)["workload"] == "web"
    assert option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD
    assert telemetry.source_header(WEB).header.value == option.header.value


def test_an_untrusted_chain_only_removes_the_header() -> None:
    """Nothing of it becomes metadata."""
    assert telemetry.source_filter(is_trusted=False).name == "envoy.filters.http.header_mutation"
    assert telemetry.source_filter(is_trusted=True).name == "envoy.filters.http.header_to_metadata"


@pytest.mark.parametrize(("asked", "given"), [(-1.0, 0.0), (1.5, 1.5), (1000.0, 100.0)])
def test_sampling_is_a_percentage(asked: float, given: float) -> None:
    """Whatever was asked for."""
    assert telemetry.tracing(WEB, asked).random_sampling.value == given


def test_the_text_log_is_there_only_with_a_path() -> None:
    """One for each manager."""
    logged = Reporter(reporter="source", peer=WEB, access_log_path="/dev/stdout")
    for logs in (telemetry.http_access_logs, telemetry.tcp_access_logs):
        assert len(logs(logged)) == len(logs(SOURCE)) + 1
