"""Tests repeat: hypothesis draws the same examples each time, whatever the machine's speed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
