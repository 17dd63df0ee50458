"""What the proxies report, aggregated."""
