"""Delta ADS: session, subscription, order, prover, relay, server."""
