"""Measurements of a router that a user writes as CSV: IKEv2 set-ups, and the throughput of ESP.

What this leaves out: throughput in both directions at once, packet mixes, and rates that a licence or an initiator
limited rather than the router; such rows do not belong into these files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...models.errors import InputError
from ...models.ikev2.proposals import EspProposal, IkeProposal
from ...models.notation import parse_esp, parse_group, parse_ike
from ..calibration import DEFAULT_SD
from .csv_rows import CsvRow, read_rows

RATE_COLUMNS = ("ike", "esp", "value", "unit")
RATE_OPTIONAL = ("scenario", "auth", "pfs", "sd_percent", "cores")
#: Per second with all control cores busy; or CPU time of the responder for one.
RATE_UNITS = ("handshakes/s", "ms")
THROUGHPUT_COLUMNS = ("esp", "packet_bytes", "value", "unit")
THROUGHPUT_OPTIONAL = ("mode", "sd_percent")
THROUGHPUT_UNITS = ("Mbit/s", "packets/s")
THROUGHPUT_MODES = ("tunnel", "transport", "gre")
#: IP header and the least and greatest length of an inner packet. [bytes]
SHORTEST, LONGEST = 20, 9000


@dataclass(frozen=True, slots=True)
class RateRow:
    """Set-ups (or another scenario) as the responder: a rate with all ``cores`` busy, or the CPU time of one.

    ``sd`` is relative; ``cores``: None for those of the profile; ``name``: what was measured, in the user's words.
    """

    where: str
    scenario: str
    ike: IkeProposal
    esp: EspProposal
    auth: str
    value: float
    unit: str
    sd: float
    cores: int | None
    name: str


@dataclass(frozen=True, slots=True)
class ThroughputRow:
    """ESP at saturation of the whole box, one direction, no licence limit; rates count inner IP packets."""

    where: str
    esp: EspProposal
    mode: str
    packet_bytes: int
    value: float
    unit: str
    sd: float
    name: str


def read_rates(path: Path) -> list[RateRow]:
    """Return the rows of a file of IKEv2 measurements.

    Columns: ike, esp, value, unit; optional scenario (``setup``), auth (``psk``), pfs, sd_percent (5), cores. Scenario
    and authentication are checked by who plays the conversation. Raises InputError with ``file:line``.
    """
    return [_rate(row) for row in read_rows(path, RATE_COLUMNS, RATE_OPTIONAL)]


def read_throughput(path: Path) -> list[ThroughputRow]:
    """Return the rows of a file of ESP measurements.

    Columns: esp, packet_bytes, value, unit; optional mode (``tunnel``), sd_percent (5). Raises InputError with
    ``file:line``.
    """
    return [_throughput(row) for row in read_rows(path, THROUGHPUT_COLUMNS, THROUGHPUT_OPTIONAL)]


def _rate(row: CsvRow) -> RateRow:
    esp = parse_esp(row.text("esp"), row.where)
    if row.text("pfs"):
        group = parse_group(row.text("pfs"), row.where)
        if esp.groups not in ((), (group,)):
            raise InputError(f"pfs: '{row.text('pfs')}' differs from the group of the ESP proposal, '{esp}'", row.where)
        esp = replace(esp, groups=(group,))
    return RateRow(
        where=row.where,
        scenario=row.text("scenario", "setup"),
        ike=parse_ike(row.text("ike"), row.where),
        esp=esp,
        auth=row.text("auth", "psk"),
        value=row.number("value"),
        unit=row.word("unit", RATE_UNITS),
        sd=row.number("sd_percent", 100.0 * DEFAULT_SD) / 100.0,
        cores=row.count("cores"),
        name=" ".join(
            word
            for word in (row.text("scenario", "setup"), row.text("ike"), row.text("esp"), row.text("auth", "psk"))
            if word
        )
        + (f" pfs {row.text('pfs')}" if row.text("pfs") else ""),
    )


def _throughput(row: CsvRow) -> ThroughputRow:
    size = row.count("packet_bytes")
    if size is None or not SHORTEST <= size <= LONGEST:
        found = row.text("packet_bytes", "nothing")
        raise InputError(f"packet_bytes: found {found}, {SHORTEST} to {LONGEST} bytes are possible", row.where)
    return ThroughputRow(
        where=row.where,
        esp=parse_esp(row.text("esp"), row.where),
        mode=row.word("mode", THROUGHPUT_MODES, "tunnel"),
        packet_bytes=size,
        value=row.number("value"),
        unit=row.word("unit", THROUGHPUT_UNITS),
        sd=row.number("sd_percent", 100.0 * DEFAULT_SD) / 100.0,
        name=f"ESP {row.text('esp')} {row.text('mode', 'tunnel')} {size} B",
    )
