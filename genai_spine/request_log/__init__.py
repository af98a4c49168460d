"""Request log: what was asked and answered, where a tenant or a key has it on; off by default."""
