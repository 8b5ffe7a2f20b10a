"""One open connection for an application: inbox, outbox, keepalive, and why it ended."""
