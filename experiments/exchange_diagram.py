"""A conversation as a Mermaid sequence diagram."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_ENDS = {"i>r": ("I", "R"), "r>i": ("R", "I")}


def mermaid(result: dict[str, Any]) -> str:
    """Return the text of the diagram of what ``exchange`` returned; an arrow that ends in a cross reaches nobody.

    A note stands where a phase begins. Payloads are those of the whole message, with their sizes in bytes; the pieces
    of a message are one arrow, which reaches nobody when one of them does not.
    """
    names = {"I": result["initiator_id"], "R": result["responder_id"]}
    lines = ["sequenceDiagram", *(f"    participant {key} as {_plain(name)}" for key, name in names.items())]
    phase = ""
    for pieces in _messages(result["messages"]):
        row = pieces[0]
        if row["phase"] != phase:
            phase = row["phase"]
            lines.append(f"    Note over I,R: {phase}")
        sender, receiver = _ENDS[row["direction"]]
        arrow = "->>" if all(piece["arrived"] for piece in pieces) else "-x"
        kind = "response" if row["response"] else "request"
        piece = f" in {row['fragments']} pieces" if row["fragments"] > 1 else ""
        length = " + ".join(str(part["ip_len"]) for part in pieces)
        again = ", again" if row["transmission"] else ""
        what = f"{row['exchange']} {kind} {row['msgid']}{piece}{again}, {length} B"
        # One of the pieces names the payloads of all.
        named = max((part["payloads"] for part in pieces), key=len)
        inside = _plain(re.sub(r"^(?:SKF?|FRAG)\(\d+\)(?: \d+/\d+)?", "", named))
        lines.append(f"    {sender}{arrow}{receiver}: {what}" + (f"<br/>{inside}" if inside else ""))
    return "\n".join(lines)


def _messages(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the datagrams of each message that was sent, in order."""
    messages: list[list[dict[str, Any]]] = []
    for row in rows:
        if row["fragment"] > 1 and messages:
            messages[-1].append(row)
        else:
            messages.append([row])
    return messages


def _plain(text: str) -> str:
    """Return a text without the characters that mean something to Mermaid."""
    return re.sub(r"[{};#<>]", "", text).replace("N:", "").strip()
