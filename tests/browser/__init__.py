"""duologue's server in conversation with headless Chromium."""
