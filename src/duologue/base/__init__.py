"""Floor 0: the words every other floor speaks; imports nothing of duologue."""
