"""The asyncio API under the module paths of `websockets.asyncio`; import its submodules."""
