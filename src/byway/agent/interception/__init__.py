"""Interception: per workload a network namespace on one bridge, whose iptables rules lead all TCP and DNS to Envoy
and the agent.
"""
