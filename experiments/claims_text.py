"""The claims as tables for a terminal and as the page of the documentation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MS = 1e3
#: Width of running text of the page.
LINE = 120
SENSES = {"less": "<", "equal": "=", "at least": ">="}
HOLDS = {True: "yes", False: "no", None: "open"}

SUMMARY = ("section", "claim", "verdict")
FIGURES = ("compared", "", "first side", "claimed", "second side", "holds", "sets")
HEAD = """# The study's claims, tested

Every claim of the study that figures can test, with the figures of both sides and a verdict. A claim is taken as
generally as the study states it, so that one comparison that fails makes it false. Times lean on assumed values: each
comparison of times is made for every parameter set drawn from the ranges of the hardware profile ("sets": in how many
it is so), and again with the cost model in error by 15 % on either side, against the claim and for it; "open" means
that the outcome is not safe against both. The wording is ours. This page is generated; a test fails when it is stale.
To make it anew:

    flexvpn-sim paper claims --markdown docs/paper_claims.md
"""


def number(value: float) -> str:
    """Return a figure with four significant digits, whole numbers as they are.

    >>> number(2084.0), number(132.9167), number(0.30712)
    ('2084', '132.9', '0.3071')
    """
    return f"{value:.0f}" if value == round(value) else f"{value:.4g}"


def side(row: Mapping[str, Any]) -> str:
    """Return one side of a comparison with its band."""
    text = f"{row['name']} {number(row['value'])}"
    return text if row["low"] is None else f"{text} ({number(row['low'])} to {number(row['high'])})"


def figures(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one comparison, under `FIGURES`."""
    share = comparison["share"]
    return (
        comparison["what"],
        comparison["unit"],
        side(comparison["ours"]),
        SENSES[comparison["sense"]],
        side(comparison["theirs"]),
        HOLDS[comparison["holds"]],
        "" if share is None else f"{share:.0%}",
    )


def protocol_columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the headings of the table of protocols."""
    setups = [f"set-up ms, RTT {rtt_s * MS:g} ms" for rtt_s in result["rtts_s"]]
    inner = list(result["protocols"][0]["packet_bytes"])
    return (
        "protocol",
        "messages",
        "bytes",
        "round trips",
        *setups,
        "responder CPU ms",
        *(f"{n} B inside" for n in inner),
    )


def protocol_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one protocol."""
    setups = []
    for one in row["setup"]:
        low, high = one["setup_low_s"], one["setup_high_s"]
        band = f" ({low * MS:.0f} to {high * MS:.0f})" if low is not None and row["messages"] else ""
        setups.append(f"{one['setup_s'] * MS:.0f}{band}")
    numbers = (str(row["messages"]), str(row["ip_bytes"]), number(row["round_trips"]))
    lengths = [str(n) for n in row["packet_bytes"].values()]
    return (row["protocol"], *numbers, *setups, f"{row['responder_cpu_s'] * MS:.1f}", *lengths)


def inputs(result: Mapping[str, Any]) -> str:
    """Return in a sentence what the figures lean on."""
    drawn = f"{result['samples']} parameter sets (seed {result['seed']})" if result["samples"] else "no parameter sets"
    return (
        f"Both ends {result['hardware']}, IKE {result['ike']}, ESP {result['esp']}, pre-shared keys, {drawn}; "
        f"{len(result['assumed'])} of {len(result['values'])} inputs are assumed."
    )


def protocol_note() -> str:
    """Return what the table of protocols does not say by itself."""
    return (
        "Bytes with IPv4 headers, on IOS XE. L2TP/IPsec and PPTP in the shortest form that their RFCs allow, each of "
        "their messages at the price of one of IKE; real ones take more. Losses are left out."
    )


def page(result: Mapping[str, Any]) -> str:
    """Return the page of the documentation."""
    lines = [HEAD, *_wrapped(inputs(result)), ""]
    counts = result["verdicts"]
    lines += [
        f"{counts['true']} claims are true, {counts['false']} false, {counts['not decidable']} not decidable.",
        "",
    ]
    lines += _table(SUMMARY, [(c["section"], c["claim"], f"**{c['verdict']}**") for c in result["claims"]])
    lines += ["", "## Protocols", ""]
    lines += [*_wrapped(protocol_note()), ""]
    lines += _table(protocol_columns(result), [protocol_cells(row) for row in result["protocols"]])
    lines += ["", "## Figures"]
    for claim in result["claims"]:
        lines += ["", f"### {claim['claim']}", ""]
        lines += [f"Section {claim['section']}. Verdict: **{claim['verdict']}**.", "", *_wrapped(claim["reason"])]
        if claim["comparisons"]:
            lines += ["", *_wrapped(f"Experiment: {claim['experiment']}."), ""]
            lines += _table(FIGURES, [figures(c) for c in claim["comparisons"]])
        if claim["note"]:
            lines += ["", *_wrapped(claim["note"])]
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, LINE, break_long_words=False, break_on_hyphens=False)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]
