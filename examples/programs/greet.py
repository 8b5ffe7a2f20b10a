#!/usr/bin/env python3
"""Greets whoever is named in each line. Try: duologue run --port=8080 ./greet.py"""

import os
import sys

print(f"Hello, {os.environ.get('REMOTE_ADDR', 'you')}! Who are you?", flush=True)
for line in sys.stdin:
    # A pipe is buffered unless it is told otherwise: a line would wait for its neighbours.
    print(f"Hello, {line.strip()}!", flush=True)
