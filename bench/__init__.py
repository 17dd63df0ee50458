"""Benchmarks of the whole: real Envoys, real namespaces, figures as ratios within one run (`make bench`)."""
