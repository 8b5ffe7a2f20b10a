"""The browser's WebSocket API, as the WHATWG standards have it, on the engine of duologue.

Names, values, the order of events and the exceptions are those of the standards; where Python needs
something that JavaScript hasn't, or has it otherwise, ``docs/reference/browser.md`` says so. The
modules, from the bottom up: ``dom_exception``; ``events``, ``dispatching`` and ``event_target``
(DOM); ``abort``; ``blob``; ``arguments`` (what the constructor, ``send`` and ``close`` take);
``connecting``, ``sending`` and ``session`` (a socket's life on an event loop); ``background`` (that
loop, where the program runs none); ``websocket``.
"""
