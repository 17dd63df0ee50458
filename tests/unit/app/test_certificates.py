"""`certs` knows what is in use whoever issued it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from byway.agent.frames import WorkloadReport
from byway.app.certificates import leaves
from byway.authority.certificate_log import CertificateLog, IssuedCertificate
from byway.identity.certificate import CertificateFacts
from byway.identity.roles import agent_id
from byway.identity.spiffe import TrustDomain

TD = TrustDomain("cluster.local")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
WEB = "spiffe://cluster.local/ns/default/sa/web"


def issued(serial: str, identity: str, node: str, life_h: int = 1) -> IssuedCertificate:
    not_after = NOW + timedelta(hours=life_h)
    return IssuedCertificate(
        serial=serial, identity=identity, node=node, issued_at=NOW, not_after=not_after, via="mtls"
    )


def report(instance: str, serial: str) -> WorkloadReport:
    return WorkloadReport(
        instance=instance,
        workload="web",
        namespace="default",
        identity=WEB,
        proxy_id="",
        begins=NOW.isoformat(),
        expires=(NOW + timedelta(hours=2)).isoformat(),
        serial=serial,
    )


def facts(serial: str, life_h: int = 2) -> CertificateFacts:
    not_after = NOW + timedelta(hours=life_h)
    return CertificateFacts(identity=agent_id(TD), not_before=NOW, not_after=not_after, serial=serial, issuer="")


def test_after_a_restart_all_that_connected_agents_hold_is_known() -> None:
    """Each instance for itself, and the agent's own, as it came with it."""
    found = leaves(CertificateLog(), [report("web-1", "a1"), report("web-2", "a1")], {"n": facts("a2")}, NOW)
    assert [(c.instance, c.serial, c.not_after) for c in found] == [
        ("web-1", "a1", "2030-01-01T02:00:00Z"),
        ("web-2", "a1", "2030-01-01T02:00:00Z"),
        ("", "a2", "2030-01-01T02:00:00Z"),
    ]


def test_what_another_control_plane_has_issued_since_stands_in_place_of_what_was_issued_here() -> None:
    """For hosts whose agent is here; of the others, what was issued here is all that is known."""
    log = CertificateLog()
    for entry in (issued("1", WEB, "n"), issued("2", str(agent_id(TD)), "n"), issued("3", WEB, "m")):
        log.record(entry)
    found = leaves(log, [report("web-1", "a1")], {"n": facts("a2")}, NOW)
    assert sorted(c.serial for c in found) == ["3", "a1", "a2"]


def test_a_channel_that_outlives_its_certificate_tells_nothing_old() -> None:
    log = CertificateLog()
    log.record(issued("4", str(agent_id(TD)), "n", life_h=3))
    assert [c.serial for c in leaves(log, [], {"n": facts("a2")}, NOW)] == ["4"]
    assert leaves(CertificateLog(), [], {"n": facts("a2", life_h=-1)}, NOW) == ()
