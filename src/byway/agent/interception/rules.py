"""The iptables rules, as input of `iptables-restore`: a table is replaced or extended in one step, or not at all.

In a workload's namespace (all of it is Byway's, so whole tables are written):

- TCP that leaves goes to Envoy's outbound port, except Envoy's own traffic and what stays on loopback;
- TCP that arrives on the link goes to Envoy's inbound port, whatever port it was sent to. So no port of the
  namespace, readiness and outbound included, can be reached past Envoy;
- DNS (UDP and TCP, port 53, to any server) goes to the agent's DNS server;
- Envoy calling its own workload by the workload's address re-enters by the inbound port, like any other caller.
  Envoy's way to the application is 127.0.0.1, or the workload's address with source 127.0.0.6 (as in Istio);
- IPv6 is switched off on the link (see `namespaces`): there is nothing to intercept, hence nothing that escapes.

On the host, in chains of the mesh's own: traffic that leaves the mesh's subnet is masqueraded, and forwarding is
allowed for the bridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from byway.agent.interception.names import WORKLOAD_LINK
from byway.model.names import INBOUND_SOURCE, PORT_DNS, PORT_INBOUND, PORT_OUTBOUND, PROXY_UID


class HostChain(msgspec.Struct, frozen=True):
    """A chain of the mesh's own in a table of the host, and the one rule of a built-in chain that leads to it."""

    table: str
    name: str
    parent: str
    rules: tuple[str, ...]

    @property
    def jump(self) -> str:
        """The rule in the built-in chain, without its `-A` or `-I`."""
        return f"{self.parent} -j {self.name}"


def unproxied_rules() -> str:
    """The tables of a namespace without an Envoy in it: only names are looked up in the mesh's way."""
    names = (f"-A OUTPUT -p {protocol} --dport 53 -j REDIRECT --to-ports {PORT_DNS}" for protocol in ("udp", "tcp"))
    return _nat((f"-A OUTPUT -m owner --uid-owner {PROXY_UID} -j RETURN", *names))


def workload_rules() -> str:
    """The tables of a workload's namespace."""
    proxy, link = f"-m owner --uid-owner {PROXY_UID}", WORKLOAD_LINK
    rules = (
        f"-A PREROUTING -i {link} -p tcp -j REDIRECT --to-ports {PORT_INBOUND}",
        f"-A OUTPUT -s {INBOUND_SOURCE}/32 -o lo -j RETURN",
        f"-A OUTPUT ! -d 127.0.0.0/8 -o lo -p tcp {proxy} -j REDIRECT --to-ports {PORT_INBOUND}",
        f"-A OUTPUT {proxy} -j RETURN",
        f"-A OUTPUT -p udp --dport 53 -j REDIRECT --to-ports {PORT_DNS}",
        f"-A OUTPUT -p tcp --dport 53 -j REDIRECT --to-ports {PORT_DNS}",
        "-A OUTPUT -o lo -j RETURN",
        "-A OUTPUT -d 127.0.0.0/8 -j RETURN",
        f"-A OUTPUT -p tcp -j REDIRECT --to-ports {PORT_OUTBOUND}",
    )
    return _nat(rules)


def _nat(rules: Iterable[str]) -> str:
    chains = (f":{chain} ACCEPT [0:0]" for chain in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"))
    return "\n".join(("*nat", *chains, *rules, "COMMIT", ""))


def host_chains(prefix: str, bridge: str, subnet: str) -> tuple[HostChain, ...]:
    """What the mesh needs in the host's own tables."""
    return (
        HostChain("nat", f"{prefix}-NAT", "POSTROUTING", (f"-s {subnet} ! -d {subnet} -j MASQUERADE",)),
        HostChain(
            "filter",
            f"{prefix}-FWD",
            "FORWARD",
            (f"-i {bridge} -j ACCEPT", f"-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ),
    )


def host_rules(chains: Iterable[HostChain], saved: str) -> str:
    """The input of `iptables-restore --noflush` that brings `chains` about where `iptables-save` printed `saved`;
    idempotent.
    """
    present = _rules_by_table(saved)
    lines: list[str] = []
    for chain in chains:
        lines += [f"*{chain.table}", f":{chain.name} - [0:0]"]
        lines += [f"-A {chain.name} {rule}" for rule in chain.rules]
        if f"-A {chain.jump}" not in present.get(chain.table, ()):
            lines.append(f"-I {chain.jump}")
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


def host_removal(prefix: str, saved: str) -> str:
    """The input of `iptables-restore --noflush` that takes away every chain named `prefix`… and every jump to one."""
    lines: list[str] = []
    for table, rules in _rules_by_table(saved).items():
        chains = [r[1:].split()[0] for r in rules if r.startswith(f":{prefix}-")]
        jumps = [r for r in rules if r.startswith("-A ") and _target(r) in chains and r.split()[1] not in chains]
        if chains:
            deletions = [f"-D {jump[3:]}" for jump in jumps]
            lines += [f"*{table}", *deletions, *(f"-F {c}" for c in chains), *(f"-X {c}" for c in chains), "COMMIT"]
    return "\n".join([*lines, ""]) if lines else ""


def vacant_tables(saved: str) -> tuple[str, ...]:
    """The tables that hold nothing but built-in chains with their default policy."""
    return tuple(
        table
        for table, rules in _rules_by_table(saved).items()
        if all(r.startswith(":") and r.split()[1] == "ACCEPT" for r in rules)
    )


def present_tables(saved: str) -> tuple[str, ...]:
    """The tables that exist at all."""
    return tuple(_rules_by_table(saved))


def _target(rule: str) -> str:
    words = rule.split()
    return words[words.index("-j") + 1] if "-j" in words else ""


def _rules_by_table(saved: str) -> dict[str, Sequence[str]]:
    tables: dict[str, list[str]] = {}
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
            tables[table] = []
        elif table and line.startswith((":", "-A ")):
            tables[table].append(line.strip())
        elif line == "COMMIT":
            table = ""
    return dict(tables)
