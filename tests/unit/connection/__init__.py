"""Unit tests of one connection, over a transport that does what the test says."""
