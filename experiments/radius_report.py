"""What a run's RADIUS did, for the terminal: requests by type, servers with their queues, accounting."""

from __future__ import annotations

import math
from typing import Any

from .result import Result
from .selection import records


def radius_text(result: Result) -> str:
    """Return requests by type and router, what became of them, and the load of each server."""
    lines = [*_request_lines(result), *_client_lines(result), *_server_lines(result), *_accounting_lines(result)]
    return "\n".join(lines) if lines else "No router asked a server."


def _request_lines(result: Result) -> list[str]:
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in records(result.radius):
        groups.setdefault((row["router"], row["request"], row["answer"] or "no answer"), []).append(row)
    lines = []
    for (router, request, answer), rows in sorted(groups.items()):
        times_s = sorted(row["ended_s"] - row["asked_s"] for row in rows)
        lines.append(
            f"  {router}: {len(rows)} {request} - {answer}, {rows[0]['request_bytes']} bytes and more; over after"
            f" {_ms(times_s[0])} to {_ms(times_s[-1])}, {sum(row['transmissions'] for row in rows)} packets sent"
        )
    return lines


def _client_lines(result: Result) -> list[str]:
    return [
        f"  {row['router']} at {row['server']} ({row['address']}): {row['requests']} requests,"
        f" {row['retransmissions']} repeated, {row['timeouts']} timeouts, marked dead {row['dead_marks']} times,"
        f" {row['late_answers']} answers too late"
        for row in records(result.radius_clients)
    ]


def _server_lines(result: Result) -> list[str]:
    lines = []
    for row in records(result.radius_servers):
        waits = ""
        if row["served"]:
            waits = (
                f"; waiting {_ms(row['mean_waiting_s'])} (95 %: {_ms(row['p95_waiting_s'])}), response"
                f" {_ms(row['mean_response_s'])} (95 %: {_ms(row['p95_response_s'])})"
            )
        lines.append(
            f"  server {row['server']}: {row['packets']} packets, {row['served']} served by {row['workers']} workers,"
            f" {row['duplicates']} duplicates, {row['unheard']} unheard, {row['utilisation']:.2%} busy{waits}"
        )
    return lines


def _accounting_lines(result: Result) -> list[str]:
    counts: dict[str, int] = {}
    for row in records(result.accounting):
        counts[row["record"]] = counts.get(row["record"], 0) + 1
    if not counts:
        return []
    return ["  accounting: " + ", ".join(f"{counts[k]} {k}" for k in ("start", "interim", "stop") if k in counts)]


def _ms(value_s: float) -> str:
    return "-" if math.isnan(value_s) else f"{value_s * 1e3:.3f} ms"
