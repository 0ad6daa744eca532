"""``flexvpn-sim clients``: which remote-access clients can connect to which FlexVPN server, and why one cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .cli_common import AsJson, plain_table, print_section, reports_bad_input
from .output_files import CHARTS, check_output, write_atomically

if TYPE_CHECKING:
    from ..models.values import Ledger
    from .clients import Outcome

WORDS = frozenset({"client", "server", "connects", "by", "after repair"})


@reports_bad_input
def clients(
    client: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="windows-10, apple, android-strongswan, android-native, anyconnect, or a profile of your own (.yaml) "
            "[default: all of them].",
        ),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RELEASE|HUB.cfg",
            help="ios-xe-16.9, ios-xe-17, ios-xe-26: a server that has the defaults of this release; or a "
            "configuration [default: ios-xe-16.9,ios-xe-17].",
        ),
    ] = None,
    auth: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="What a server of defaults wants of its clients: eap-mschapv2, eap-tls, eap-gtc or eap-md5 (from "
            "RADIUS) or anyconnect-eap, with the server's own key behind it (rsa2048, psk); rsa2048: certificates at "
            "both ends; psk.",
        ),
    ] = "eap-mschapv2:rsa2048",
    hardware: Annotated[str, typer.Option(metavar="PROFILE", help="Hardware profile of the server.")] = "isr4321",
    profiles: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder with hardware profiles of your own.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE", help="Draw the outcomes as FILE.png or FILE.svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try remote-access clients, with their defaults, at FlexVPN servers.

    Exit code 0 when every one of them connects and stays so at the first rekey, 1 when one does not.
    """
    from ..hardware.profile_files import load_profile
    from .clients import SERVERS
    from .clients import clients as tried

    if chart is not None:
        check_output(chart, CHARTS)
    outcomes, ledger = tried(
        load_profile(hardware, profiles or ()),
        _names(client),
        _names(server) or SERVERS,
        auth,
    )
    values = ledger.rows()
    result = {
        "hardware": hardware,
        "clients": [outcome.as_json() for outcome in outcomes],
        "values_read": len(values),
        "assumed": [row for row in values if row["kind"] == "assumed"],
    }
    if chart is not None:
        from .charts import PNG_DPI
        from .charts.clients import draw
        from .charts.style import render

        kind: Literal["png", "svg"] = "svg" if chart.suffix.lower() == ".svg" else "png"
        write_atomically({chart: render(draw({**result, "values": values}), kind, PNG_DPI)})
    if as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
    else:
        _report(outcomes, ledger, hardware)
    raise typer.Exit(0 if all(outcome.connects == "yes" for outcome in outcomes) else 1)


def _names(given: list[str] | None) -> tuple[str, ...]:
    """Return the names of an option that may be repeated and holds lists with commas."""
    return tuple(name.strip() for text in given or () for name in text.split(","))


def _report(outcomes: list[Outcome], ledger: Ledger, hardware: str) -> None:
    table = plain_table(
        "client",
        "server",
        "connects",
        "by",
        "messages",
        "IP B",
        "round trips",
        "server CPU",
        "after repair",
        words=WORDS,
    )
    for outcome in outcomes:
        # A set-up that fails costs little; what counts is the one that works.
        shown = outcome.attempts[-1] if outcome.repaired else outcome.attempts[0]
        figures = (str(shown.messages), str(shown.bytes), str(shown.round_trips), f"{shown.server_cpu_s * 1e3:.2f} ms")
        after = "" if not outcome.diagnoses else "yes" if outcome.repaired else "no"
        table.add_row(outcome.client, outcome.server, outcome.connects, outcome.method, *figures, after)
    print_section(
        f"Clients as they come (figures of the set-up that works in the end; CPU of a server on {hardware})", table
    )
    for outcome in outcomes:
        if outcome.diagnoses:
            print_section(f"{outcome.title} at {outcome.server}", "\n".join(_why(outcome)))
    rows: list[dict[str, Any]] = [row for row in ledger.rows() if row["kind"] == "assumed"]
    print_section(
        "How sure is this",
        f"{len(rows)} of {len(ledger.rows())} values that were read are assumed; --json lists them. The offers of the "
        "clients come from logs and sources that their profiles name.",
    )


def _why(outcome: Outcome) -> list[str]:
    """Return each reason with the lines that repair it, in the order in which they are met."""
    lines = []
    for number, diagnosis in enumerate(outcome.diagnoses, start=1):
        lines.append(f"{number}. {diagnosis.reason}")
        lines += [f"     {line}" for line in diagnosis.repair] or ["     (nothing in the server's configuration helps)"]
    lines.append("With these lines it connects." if outcome.repaired else "It does not connect.")
    return lines
