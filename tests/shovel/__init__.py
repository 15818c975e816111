"""Shovels: what may be set, what is moved, and that nothing is lost (R143)."""
