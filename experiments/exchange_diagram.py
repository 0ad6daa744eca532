"""A conversation as a Mermaid sequence diagram."""

from __future__ import annotations

import re
from typing import Any

_ENDS = {"i>r": ("I", "R"), "r>i": ("R", "I")}


def mermaid(result: dict[str, Any]) -> str:
    """Return the text of the diagram of what ``exchange`` returned; an arrow that ends in a cross reaches nobody.

    A note stands where a phase begins. Payloads are those of the whole message, with their sizes in bytes.
    """
    names = {"I": result["initiator_id"], "R": result["responder_id"]}
    lines = ["sequenceDiagram", *(f"    participant {key} as {_plain(name)}" for key, name in names.items())]
    phase = ""
    for row in result["messages"]:
        if row["phase"] != phase:
            phase = row["phase"]
            lines.append(f"    Note over I,R: {phase}")
        sender, receiver = _ENDS[row["direction"]]
        arrow = "->>" if row["arrived"] else "-x"
        kind = "response" if row["response"] else "request"
        piece = f", fragment {row['fragment']}/{row['fragments']}" if row["fragments"] > 1 else ""
        again = ", again" if row["transmission"] else ""
        what = f"{row['exchange']} {kind} {row['msgid']}{piece}{again}, {row['ip_len']} B"
        inside = _plain(re.sub(r"^SKF?\(\d+\)(?: \d+/\d+)?", "", row["payloads"]))
        lines.append(f"    {sender}{arrow}{receiver}: {what}" + (f"<br/>{inside}" if inside else ""))
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return a text without the characters that mean something to Mermaid."""
    return re.sub(r"[{};#<>]", "", text).replace("N:", "").strip()
