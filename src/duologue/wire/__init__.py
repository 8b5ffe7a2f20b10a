"""Floor 1: octets to values and back, by RFC grammar alone; no state machine and no I/O."""
