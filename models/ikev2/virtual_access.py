"""Names of the virtual-access interfaces that a responder clones from its virtual-templates."""

from __future__ import annotations

import heapq


class VirtualAccess:
    """Hands out the lowest free number. An IKE SA and those that replace it share one interface."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._released: list[int] = []

    def clone(self) -> str:
        """Return the name of a new interface with one user."""
        number = heapq.heappop(self._released) if self._released else len(self._users) + 1
        name = f"Virtual-Access{number}"
        self._users[name] = 1
        return name

    def share(self, name: str) -> None:
        """Count one more user of an interface; other interfaces than cloned ones are not counted."""
        if name in self._users:
            self._users[name] += 1

    def release(self, name: str) -> None:
        """Count one user less; the last one removes the interface."""
        if name not in self._users:
            return
        self._users[name] -= 1
        if not self._users[name]:
            del self._users[name]
            heapq.heappush(self._released, int(name.removeprefix("Virtual-Access")))
