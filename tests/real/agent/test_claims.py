"""Claims on names of this host: held by one, and free again when their holder is gone."""

from __future__ import annotations

import subprocess
import sys
import uuid

from byway.agent.interception.claims import claimed


def test_a_claimed_name_is_nobody_elses_until_it_is_let_go() -> None:
    first, second = (f"test-{uuid.uuid4().hex}" for _ in range(2))
    with claimed(first, second) as one, claimed(first, second) as other, claimed(first, second) as none:
        assert (one, other, none) == (first, second, "")
    with claimed(first) as again:
        assert again == first


def test_a_claim_ends_with_its_holder_however_that_ends() -> None:
    name = f"test-{uuid.uuid4().hex}"
    code = f"from byway.agent.interception.claims import claimed\nwith claimed({name!r}) as n: print(n, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().decode().strip() == name
        with claimed(name) as found:
            assert found == ""
        holder.kill()
        holder.wait(10)
    with claimed(name) as found:
        assert found == name
