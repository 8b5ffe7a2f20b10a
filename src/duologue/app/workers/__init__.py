"""An application in several processes on one port, and what watches over them.

The parent process forks all others and stays plain: it runs no event loop, so that forking is safe
at any time, and has no part in serving. Its children are the workers, each an event loop that
serves the application, and the *hub process*, which runs the bus of the ``local`` backplane.
"""
