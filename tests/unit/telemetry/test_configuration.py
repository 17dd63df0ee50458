"""What a proxy is told to report."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.access_loggers.stats.v3 import stats_pb2

from byway.model.report import Peer, report, service_text
from byway.xds import telemetry
from byway.xds.telemetry import Reporter

WEB = Peer(workload="web", namespace="default", app="web", version="v1", principal="spiffe://cluster.local/ns/a/sa/web")
SOURCE = Reporter(reporter="source", peer=WEB)
DESTINATION = Reporter(reporter="destination", peer=WEB, security="mutual_tls")


def stats(logs: list[Any]) -> list[Any]:
    return [
        stats_pb2.Config.FromString(log.typed_config.value) for log in logs if log.name == "envoy.access_loggers.stats"
    ]


@pytest.mark.parametrize("reporter", [SOURCE, DESTINATION])
def test_no_label_is_taken_from_what_a_caller_chooses(reporter: Reporter) -> None:
    """No host or path is a label, and no header but the sidecar's own, so nobody can make series without end."""
    configs = stats(telemetry.http_access_logs(reporter) + telemetry.tcp_access_logs(reporter))
    formats = [
        tag.value_format
        for config in configs
        for stat in [*(c.stat for c in config.counters), *(h.stat for h in config.histograms)]
        for tag in stat.tags
    ]
    assert formats
    formats = [text.replace("%REQ(x-byway-source):400%", "") for text in formats]
    assert not [text for text in formats if any(word in text for word in ("REQ(", "RESP(", "PATH", "SERVER_NAME"))]


def test_the_source_header_holds_the_workload_and_overwrites() -> None:
    """It is a format, so a percent sign is written twice."""
    odd = Peer(workload="web", namespace="default", version="%REQ(COOKIE)%")
    option = telemetry.source_header(odd)
    assert option.header.value == "web,default,_,%%REQ(COOKIE)%%,web,%%REQ(COOKIE)%%".replace("_", "")
    assert option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD


@pytest.mark.parametrize("reporter", [SOURCE, DESTINATION])
def test_what_is_written_can_be_read(reporter: Reporter) -> None:
    """Configuration and telemetry agree on the report's shape."""
    (config,) = stats(telemetry.http_access_logs(reporter))
    text = config.counters[0].stat.tags[0].value_format
    for command, value in {
        "%RESPONSE_CODE%": "503",
        "%RESPONSE_FLAGS%": "UF,URX",
        "%GRPC_STATUS_NUMBER%": "14",
        "%CLUSTER_METADATA(istio:service)%": service_text("a.b.c", "a", "b"),
        "%UPSTREAM_METADATA(istio:peer)%": WEB.text,
        "%REQ(x-byway-source):400%": WEB.text,
        "%UPSTREAM_PEER_URI_SAN%": WEB.principal,
        "%DOWNSTREAM_PEER_URI_SAN%": WEB.principal,
    }.items():
        text = text.replace(command, value)
    assert "%" not in text
    found = report(text)
    assert found is not None
    assert (found.reporter, found.security) == (reporter.reporter, reporter.security)
    assert (found.response_code, found.response_flags, found.grpc_status) == ("503", "UF,URX", "14")
    assert (found.service_host, found.service_name, found.service_namespace) == ("a.b.c", "a", "b")
    assert found.peer.text == WEB.text
    assert found.peer.principal == WEB.principal


@pytest.mark.parametrize("name", ["a,b", "a|b", "a b", "ä", "a\n"])
def test_no_name_can_break_the_shape(name: str) -> None:
    """Commas, bars and what no header may hold become underscores."""
    text = Peer(workload=name, namespace="default").text
    assert text.count(",") == 5
    assert "|" not in text
    assert text.isprintable()


def test_in_plain_text_the_header_is_not_read() -> None:
    """A request that Envoy itself answers passes no filter that could have taken it off."""
    plain = Reporter(reporter="destination", peer=WEB, security="none")
    (config,) = stats(telemetry.http_access_logs(plain))
    assert "REQ" not in config.counters[0].stat.tags[0].value_format


def test_an_untrusted_chain_takes_the_header_off() -> None:
    """Only a sidecar with a certificate is believed."""
    (taken_off,) = telemetry.source_filters(is_trusted=False)
    assert taken_off.name == "envoy.filters.http.header_mutation"
    assert telemetry.source_filters(is_trusted=True) == ()


@pytest.mark.parametrize(("asked", "given"), [(-1.0, 0.0), (1.5, 1.5), (1000.0, 100.0)])
def test_sampling_is_a_percentage(asked: float, given: float) -> None:
    """Whatever was asked for."""
    assert telemetry.tracing(WEB, asked).random_sampling.value == given


def test_the_text_log_is_there_only_with_a_path() -> None:
    """One for each manager."""
    logged = Reporter(reporter="source", peer=WEB, access_log_path="/dev/stdout")
    for logs in (telemetry.http_access_logs, telemetry.tcp_access_logs):
        assert len(logs(logged)) == len(logs(SOURCE)) + 1
