"""A result as an engineer reads it in the terminal: verdict, messages, work behind each delay, tables, assumptions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .radius_report import radius_text
from .result import Result
from .selection import records, set_up

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

#: Operations that are named for each piece of work; the rest is added up.
OPERATIONS_SHOWN = 4
#: Stations whose drops are mentioned, those with most of them first.
DROPS_SHOWN = 6
#: Share of a router's memory from which on its tunnels are mentioned.
MEMORY_SHOWN = 0.01


def sections(result: Result) -> list[tuple[str, RenderableType]]:
    """Return (heading, content) of every part that this result has."""
    parts: list[tuple[str, RenderableType]] = [("Verdict", verdict_text(result))]
    if len(result.sessions):
        parts.append(("Set-up, message by message", messages_table(result)))
        parts.append(("The work behind each delay", operations_table(result)))
    if "setup_bands" in result.tables:
        draws = result.manifest["options"]["samples"]
        heading = f"Set-up with {draws} parameter sets from the hardware's ranges: median (5 % to 95 %)"
        parts.append((heading, setup_bands_table(result)))
    if len(result.tables.get("latency", ())):
        parts.append(("ESP latency against load (one way, all values with propagation)", latency_table(result)))
        if "setup_bands" in result.tables:
            draws = result.manifest["options"]["samples"]
            parts.append((f"ESP latency, 5 % to 95 % of {draws} parameter sets", latency_bands_table(result)))
        parts.append(("ESP throughput by packet size", throughput_table(result)))
    if "radius" in result.tables:
        parts.append(("RADIUS", radius_text(result)))
    parts.append(("How sure is this", sureness_text(result)))
    return parts


def verdict_text(result: Result) -> str:
    """Return one line a tunnel: up or down, set-up time and bytes, or the reason."""
    lines = [result.verdict()]
    for row in records(result.sessions):
        ends = f"{row['initiator']} {row['initiator_interface']} - {row['responder']} {row['responder_interface']}"
        if row["up"]:
            rekeys = f"{row['child_rekeys']} Child SA and {row['ike_rekeys']} IKE SA rekeys"
            lines.append(
                f"  UP    {ends.strip()}: set up in {_ms(row['setup_s'])}, {row['message_count']} messages,"
                f" {row['ike_bytes']} bytes of IKE; then {rekeys}"
            )
        else:
            lines.append(f"  DOWN  {ends.strip(' -')}: {row['reason']}")
            if row["attempts"] > 1:
                lines.append(f"        {row['attempts']} attempts, the first with {row['message_count']} messages")
    return "\n".join([*lines, *_platform_lines(result)])


def _platform_lines(result: Result) -> list[str]:
    """Return lines about stations that dropped packets, memory, and limits that several flows exceed together."""
    queues = sorted(records(result.queues), key=lambda row: -row["drops"])
    drops = [
        f"  {row['name']}: {row['drops']:,} of {row['arrivals']:,} packets dropped or lost"
        for row in queues[:DROPS_SHOWN]
        if row["drops"]
    ]
    memories = {name: router.get("memory") for name, router in result.manifest["routers"].items()}
    memory = [
        f"  {name}: {m['tunnels']} tunnels at a time took {100 * m['share']:.3g} % of the control plane's memory"
        for name, m in memories.items()
        if m is not None and m["share"] >= MEMORY_SHOWN
    ]
    together = [
        f"  {row['router']} {row['direction']} {_mbps(row['bps'])} for all its flows, above its {row['limit']} of"
        f" {_mbps(row['limit_bps'])}; each flow is simulated alone, so more is lost than shown"
        for row in result.manifest.get("exceeded_together", [])
    ]
    return drops + memory + together


def messages_table(result: Result, tunnel: int = 0) -> Table:
    """Return the messages of a tunnel's set-up with times and sizes."""
    table = _table("time", "from", "to", "exchange", "id", "IKE B", "UDP B", "IP B", "payloads")
    for row in set_up(result, tunnel).messages:
        exchange = row["exchange"] + (" response" if row["response"] else " request")
        if row["transmission"]:
            exchange += f" (send {row['transmission'] + 1})"
        sizes = (str(row["message_id"]), str(row["ike_bytes"]), str(row["udp_len"]), str(row["ip_len"]))
        lost = " LOST" if row["lost"] else ""
        table.add_row(
            _ms(row["time_s"]), row["sender"], row["receiver"] + lost, exchange, *sizes, _short(row["payloads"])
        )
    return table


def operations_table(result: Result, tunnel: int = 0) -> Table:
    """Return the work of a tunnel's set-up: when it began, what it was, how long each operation took."""
    table = _table("start", "router", "work", "waited", "took", "of which")
    for work in set_up(result, tunnel).works:
        own = sorted(work["operations"], key=lambda o: -o[1])
        parts = [f"{_ms(duration_s)} {name}" for name, duration_s in own[:OPERATIONS_SHOWN]]
        rest_s = sum(duration_s for _, duration_s in own[OPERATIONS_SHOWN:])
        if rest_s:
            parts.append(f"{_ms(rest_s)} others")
        table.add_row(
            _ms(work["start_s"]),
            work["router"],
            work["step"],
            _ms(work["start_s"] - work["arrival_s"]),
            _ms(work["end_s"] - work["start_s"]),
            ", ".join(parts),
        )
    return table


def setup_bands_table(result: Result) -> Table:
    """Return set-up time and CPU time of both ends over the parameter sets: median and band."""
    table = _table("tunnel", "came up", "set-up time", "CPU of the initiator", "CPU of the responder")
    for row in records(result.setup_bands):
        cells = [
            f"{row[f'{name}_median_s'] * 1e3:.1f} ({_band(row, name, 's', 1e3, '.1f')}) ms"
            for name in ("setup", "initiator_cpu", "responder_cpu")
        ]
        table.add_row(f"{row['initiator']} - {row['responder']}", f"{row['up_share']:.0%}", *cells)
    return table


def latency_table(result: Result) -> Table:
    """Return ESP latency at selected loads; ± is the 95 % confidence interval over replications."""
    table = _table("packets", "load", "offered", "delivered", "loss", "p50", "p95", "p99", "busiest station")
    for row in _chosen_loads(result):
        table.add_row(
            row["packets"],
            f"{row['load']:.0%}",
            _mbps(row["offered_bps"]),
            _mbps(row["delivered_bps"]),
            f"{row['loss']:.2%}",
            *(f"{row[f'{q}_s'] * 1e3:.3f} ± {row[f'{q}_ci_s'] * 1e3:.3f} ms" for q in ("p50", "p95", "p99")),
            f"{row['bottleneck']} {row['utilisation']:.0%}",
        )
    return table


def latency_bands_table(result: Result) -> Table:
    """Return 5 % and 95 % of latency and loss over the parameter sets, at the same offered rates."""
    table = _table("packets", "load", "offered", "loss", "p50", "p95", "p99")
    for row in _chosen_loads(result):
        bands = [_band(row, name, "s", 1e3, ".2f") + " ms" for name in ("p50", "p95", "p99")]
        loss = f"{row['loss_low']:.2%} to {row['loss_high']:.2%}"
        table.add_row(row["packets"], f"{row['load']:.0%}", _mbps(row["offered_bps"]), loss, *bands)
    return table


def _chosen_loads(result: Result) -> list[dict[str, Any]]:
    latency = result.latency
    return records(latency[latency["load"].isin((0.1, 0.5, 0.8, 0.95, 1.0, 1.1))])


def throughput_table(result: Result) -> Table:
    """Return ESP throughput by packet size and the station that limits it."""
    table = _table("inner B", "ESP B", "inner rate", "on the wire", "packets/s", "bottleneck")
    for row in records(result.throughput):
        table.add_row(
            str(row["packet_bytes"]),
            str(row["esp_bytes"]),
            _mbps(row["throughput_bps"]) + _in_brackets(row),
            _mbps(row["wire_bps"]),
            f"{row['throughput_pps']:,.0f}",
            row["bottleneck"],
        )
    return table


def sureness_text(result: Result) -> str:
    """Return how many values of each kind the run read, and the assumed ones with their ranges."""
    values = result.manifest["values"]
    kinds = {
        kind: sum(1 for v in values if v["kind"] == kind) for kind in ("measured", "published", "derived", "assumed")
    }
    lines = ["Values read: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()) + "."]
    if kinds["assumed"]:
        lines.append("Assumed (value, range), so every time above is no better than these:")
    for value in values:
        if value["kind"] == "assumed":
            unit = f" {value['unit']}" if value["unit"] else ""
            lines.append(f"  {value['owner']}: {value['name']} = {value['value']:g}{unit} ({value['spread']})")
    return "\n".join(lines)


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numeric = {
        "time",
        "id",
        "IKE B",
        "UDP B",
        "IP B",
        "start",
        "waited",
        "took",
        "load",
        "offered",
        "delivered",
        "loss",
    }
    numeric |= {"p50", "p95", "p99", "inner B", "ESP B", "inner rate", "on the wire", "packets/s"}
    for column in columns:
        right = column in numeric
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def _in_brackets(row: dict[str, Any]) -> str:
    low = row["throughput_low_bps"]
    return "" if math.isnan(low) else f" ({_band(row, 'throughput', 'bps', 1e-6, '.2f')})"


def _band(row: dict[str, Any], stem: str, unit: str, scale: float, digits: str) -> str:
    low, high = (row[f"{stem}_{end}_{unit}"] for end in ("low", "high"))
    ends = ("-" if math.isnan(end) else format(end * scale, digits) for end in (low, high))
    return " to ".join(ends)


def _short(payloads: str) -> str:
    return payloads.replace("NAT_DETECTION_SOURCE_IP", "NATD_SRC").replace("NAT_DETECTION_DESTINATION_IP", "NATD_DST")


def _ms(value_s: float) -> str:
    return "-" if math.isnan(value_s) else f"{value_s * 1e3:.3f} ms"


def _mbps(value_bps: float) -> str:
    return f"{value_bps / 1e6:.2f} Mbit/s"
