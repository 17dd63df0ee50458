"""The last mesh to leave a host restores what the first one found; seen on a network that is this test's alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import byway

SCRIPT = """
import json, re, subprocess
from pathlib import Path
from byway.agent.interception import host
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
def seen():
    lines = [FORWARDING.read_text().strip()]
    for command in (["iptables-save"], ["ip", "-br", "link"], ["ip", "route"]):
        lines += subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [re.sub(r" \\[\\d+:\\d+\\]$", "", line) for line in lines if not line.startswith("#")]
def enter(mesh, bridge, net):
    host.build_bridge(bridge, net + ".1", 24)
    host.let_traffic_leave(mesh, bridge, net + ".0/24")
def leave(mesh, bridge):
    host.remove_links((bridge,))
    host.take_back(mesh)
FORWARDING.write_text("0")
stages = [seen()]
enter("one", "bw-one", "10.77.1")
stages.append(seen())
enter("two", "bw-two", "10.77.2")
leave("one", "bw-one")
stages.append(seen())
leave("two", "bw-two")
stages.append(seen())
print(json.dumps(stages))
"""


def test_the_last_mesh_to_leave_restores_the_host() -> None:
    """Tables, links, routes and the forwarding switch; the one that leaves earlier keeps them open for the other."""
    private = ("unshare", "--net", "--mount", "sh", "-c", 'mount -t tmpfs run /run && exec "$@"', "sh")
    environment = {**os.environ, "PYTHONPATH": str(Path(byway.__file__).parents[1])}
    done = subprocess.run(
        [*private, sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    before, with_one, with_the_other, after = json.loads(done.stdout)
    assert (before[0], with_one[0], with_the_other[0]) == ("0", "1", "1")
    assert any("bw-two" in line for line in with_the_other)
    assert not any("bw-one" in line for line in with_the_other)
    assert after == before != with_one
