"""The twenty services of the URL shortener, one module each; a module's `service()` makes a fresh one."""
