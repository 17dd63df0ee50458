"""Pure values of identity: SPIFFE id, trust domain, CSR, certificate, bundle, rotation."""
