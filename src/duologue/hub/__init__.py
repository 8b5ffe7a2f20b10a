"""Topics: what is published to one reaches all connections that subscribed to it.

A :class:`~duologue.hub.hub.Hub` keeps the topics of one process. With a backplane it shares them
with hubs of other processes.
"""
