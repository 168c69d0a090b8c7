"""Compiled files in a process: found in the cache, opened, called on arrays; the compiler is not needed here."""
