"""A conversation as tables of text."""

from __future__ import annotations

from typing import Any

from .cli_common import plain_table, print_section

ENDS = ("initiator", "responder")
#: Operations that are named for each message; the rest is added up.
OPERATIONS_SHOWN = 4
#: Columns of names and text.
WORDS = frozenset({"phase", "from", "end", "exchange", "payloads", "of which"})


def print_exchange(result: dict[str, Any]) -> None:
    """Print what ``exchange`` returned: messages, the work behind each, the outcome, what is assumed."""
    what = f"{result['scenario']}: {result['ike']}; {_child_text(result)}; {_authentication(result)}"
    names = (result["implementation"], result["responder_implementation"])
    speaking = names[0] if names[0] == names[1] else f"{names[0]} (initiator) and {names[1]} (responder)"
    print_section(what, f"{speaking} on {result['hardware']}, at both ends")
    messages = plain_table("#", "phase", "sent at", "from", "exchange", "id", "UDP B", "IP B", "payloads", words=WORDS)
    work = plain_table("#", "end", "took", "of which", words=WORDS)
    ends = {"i>r": ("initiator", "responder"), "r>i": ("responder", "initiator")}
    for number, row in enumerate(result["messages"], start=1):
        sender, receiver = ends[row["direction"]]
        exchange_name = row["exchange"] + (" response" if row["response"] else " request")
        if row["transmission"]:
            exchange_name += " again"
        if not row["arrived"]:
            exchange_name += ", lost"
        sizes = (str(row[name]) for name in ("msgid", "udp_len", "ip_len"))
        messages.add_row(str(number), row["phase"], _at(row["t_s"]), sender, exchange_name, *sizes, row["payloads"])
        for end, verb, side in ((sender, "sends", "sender"), (receiver, "receives", "receiver")):
            if row[f"{side}_operations"]:
                parts = _operations_text(row[f"{side}_operations"])
                work.add_row(str(number), f"{end} {verb}", _ms(row[f"{side}_cpu_s"]), parts)
    print_section("Messages", messages)
    print_section("The work behind each message", work)
    print_section("CPU time", "\n".join([*(_cpu_text(result, end) for end in ENDS), *_phase_lines(result)]))
    print_section("Outcome", "\n".join(_outcome_lines(result)))
    lines = [
        f"{len(result['assumed'])} of the {result['values_read']} values behind these times and sizes are assumed."
    ]
    for value in result["assumed"]:
        unit = f" {value['unit']}" if value["unit"] else ""
        lines.append(f"  {value['owner']}: {value['name']} = {value['value']:g}{unit} ({value['spread']})")
    print_section("How sure is this", "\n".join(lines))
    if "capture" in result:
        print_section("Capture", "\n".join(_capture_lines(result["capture"])))


def _child_text(result: dict[str, Any]) -> str:
    """Return what the Child SA is proposed with; AH names itself."""
    return str(result["esp"]) if result["esp"].startswith("AH ") else f"ESP {result['esp']}"


def _capture_lines(capture: dict[str, Any]) -> list[str]:
    """Return what was written, how Wireshark reads it, and what is not real in it."""
    table, *others = capture["tables"]
    lines = [
        f"{capture['packets']} packets in {capture['pcap']}; keys for Wireshark in {table}",
        "  Copy it as 'ikev2_decryption_table' into Wireshark's folder of settings.",
    ]
    return lines + [f"  {other}" for other in others] + [f"  {note}" for note in capture["notes"]]


def _cpu_text(result: dict[str, Any], end: str) -> str:
    text = f"{end}: {_ms(result[f'{end}_cpu_s'])}"
    if "samples" not in result:
        return text
    median, low, high = (_ms(result[f"{end}_cpu_{name}_s"]) for name in ("median", "low", "high"))
    return f"{text}; over {result['samples']} parameter sets {median} (5 % to 95 %: {low} to {high})"


def _phase_lines(result: dict[str, Any]) -> list[str]:
    """Return the CPU time of both ends in each phase, where there are several."""
    if len(result["phases"]) == 1:
        return []
    return [
        f"  {phase}: " + ", ".join(f"{end} {_ms(times[f'{end}_cpu_s'])}" for end in ENDS)
        for phase, times in result["phases"].items()
    ]


def _outcome_lines(result: dict[str, Any]) -> list[str]:
    """Return which SAs are left at either end, and what was refused or given up."""
    lines = [f"{end}: IKE SAs {sas['ike']}, Child SAs {sas['child']}" for end, sas in result["sas"].items()]
    path = result.get("path", {})
    if path.get("drops_fragments"):
        lines.append(f"the path carries {path['mtu_bytes']} bytes and drops IP fragments")
        lines += [f"  lost: {reason}" for reason in path["lost"]]
    for event in result["events"]:
        if event["cause"]:
            notify = f" ({event['notify']})" if event["notify"] else ""
            lines.append(f"  {_at(event['t_s'])} {event['end']}: {event['event']}: {event['cause']}{notify}")
        elif event["event"] == "revocation_checked":
            lines.append(f"  {_at(event['t_s'])} {event['end']}: status of a certificate asked for: {event['detail']}")
    return lines


def _at(time_s: float) -> str:
    return f"{time_s:.3f} s" if time_s >= 1 else f"{time_s * 1e3:.3f} ms"


def _authentication(result: dict[str, Any]) -> str:
    """Return in words how both ends authenticate."""
    first, plus, more = result["auth"].partition("+")
    method, _, algorithm = first.rpartition(":")
    if algorithm == "psk":
        return "pre-shared keys"
    initiator, responder = result["certificate_bytes"]
    chain = f" with {result['chain']} intermediate CAs" if result["chain"] else ""
    if method and method != "eap-tls":
        return f"{method} against an {algorithm} certificate of {responder} bytes{chain}"
    both = f"{algorithm} certificates of {initiator} and {responder} bytes{chain}"
    if plus:
        both += f", then {'a pre-shared key' if more == 'psk' else more} of the initiator"
    return f"{method} with {both}" if method else both


def _operations_text(operations: list[dict[str, Any]]) -> str:
    """Return the longest operations in words, the others as a sum; equal ones are counted together."""
    durations_s: dict[str, list[float]] = {}
    for row in operations:
        durations_s.setdefault(row["operation"], []).append(row["duration_s"])
    longest = sorted(durations_s.items(), key=lambda item: -sum(item[1]))
    parts = [
        f"{_ms(sum(times))} {f'{len(times)} x ' if len(times) > 1 else ''}{name}"
        for name, times in longest[:OPERATIONS_SHOWN]
    ]
    if longest[OPERATIONS_SHOWN:]:
        parts.append(f"{_ms(sum(sum(times) for _, times in longest[OPERATIONS_SHOWN:]))} others")
    return ", ".join(parts)


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3f} ms" if value_s >= 1e-5 else f"{value_s * 1e6:.2f} us"
