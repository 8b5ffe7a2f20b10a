#!/usr/bin/env python3
"""A chat room: one program for everybody, which knows who is who.

Try: duologue run --port=8080 --share --shareformat=json ./room.py
"""

import json
import sys


def tell(**order):
    print(json.dumps(order), flush=True)


for line in sys.stdin:
    event = json.loads(line)
    who = event["client"]
    if event["event"] == "open":
        tell(to=who, data=f"You are number {who}.")
    elif event["event"] == "close":
        tell(data=f"Number {who} has left.")
    elif event["data"] == "/quit":
        tell(close=who, code=1000, reason="as you wish")
    else:
        tell(data=f"{who}: {event['data']}")
