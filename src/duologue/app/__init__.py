"""The server that applications are built on: routes, HTTP on the same port, safe defaults."""
