"""Property tests draw the same examples everywhere and know no deadline: a slow machine is no fault of the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("stable", deadline=None, derandomize=True)
settings.load_profile("stable")
