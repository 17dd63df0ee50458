"""The registry remembers what matters, within its bound."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from byway.authority.certificate_log import ISSUED, CertificateLog, IssuedCertificate

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def entry(serial: int, identity: str = "spiffe://td/ns/a/sa/b", node: str = "n", life_s: int = 60) -> IssuedCertificate:
    not_after = NOW + timedelta(seconds=life_s)
    return IssuedCertificate(
        serial=f"{serial:x}", identity=identity, node=node, issued_at=NOW, not_after=not_after, via="mtls"
    )


def test_the_oldest_certificates_are_forgotten_first() -> None:
    """The bound holds, and the counter still knows them all."""
    log = CertificateLog(limit=3)
    for serial in range(5):
        log.record(entry(serial))
    assert [issued.serial for issued in log.issued()] == ["2", "3", "4"]
    assert log.counts()[ISSUED] == 5


def test_the_current_certificates_are_the_latest_of_each_identity_and_node() -> None:
    """One identity on two nodes has two; what has expired is not current."""
    log = CertificateLog()
    for issued in (entry(1), entry(2), entry(3, node="m"), entry(4, identity="spiffe://td/ns/a/sa/a", life_s=-1)):
        log.record(issued)
    assert [issued.serial for issued in log.current(NOW)] == ["3", "2"]


def test_rotations_are_counted_for_each_holder() -> None:
    """The first certificate is none; another node's holder counts for itself."""
    log = CertificateLog(limit=3)
    for issued in (entry(1), entry(2), entry(3, node="m"), entry(4), entry(5)):
        log.record(issued)
    assert [log.n_rotations(issued) for issued in (entry(5), entry(3, node="m"), entry(9, node="x"))] == [3, 0, 0]
