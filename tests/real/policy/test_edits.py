"""No edit that means no harm fails a call: the figure of the benchmark, made small."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.edits import measured
from bench.writer import Edit
from tests.real.demo.conftest import require_root

pytestmark = pytest.mark.real

N_EDITS = 60
DENIED = Edit(
    (
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "denied", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "shop"}},
                "action": "DENY",
                "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}],
            },
        },
    )
)
"""A harmful one: what the load asks of `shop` is refused from then on."""


def test_random_edits_fail_no_call_and_a_harmful_one_is_seen(tmp_path: Path) -> None:
    require_root()
    tmp_path.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    found = measured(N_EDITS, tmp_path, seed=11, last=(DENIED,))
    failures = found.failures()
    assert [text for text in failures if f"at edit {N_EDITS} " not in text] == []
    assert failures
    assert all("http://shop:" in text and "403" in text for text in failures), failures[:5]
    assert len(found.calls) > 10 * N_EDITS
    assert found.n_judged() > N_EDITS
