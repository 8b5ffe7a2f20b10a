"""Hostile and broken peers against a running server or client."""
