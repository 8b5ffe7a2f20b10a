"""The browser's API, shown by the same scenarios in Chromium, in undici and in Python."""
