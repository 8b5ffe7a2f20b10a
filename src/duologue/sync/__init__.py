"""The threads API under the module paths of `websockets.sync`; import its submodules."""
