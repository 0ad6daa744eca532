"""The page of the protocol: what the tables say that the simulation speaks from, as Markdown.

Sizes of notifications are those of conversations that are played for the page; what is left out is what the modules say
of themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from ..hardware.profile_files import load_profile
from ..models import ikev1, ikev2
from ..models.algorithms import ENCRYPTIONS, GROUPS, INTEGRITIES, KEMS, PRFS, SIGNATURES
from ..models.errors import InputError
from ..models.ikev1 import implementation as implementation_v1
from ..models.ikev2.events import EventKind
from ..models.ikev2.payloads import NOTIFY_TYPES, STATUS_TYPES_FROM
from ..models.ikev2.sa import Cause
from ..models.implementation import Part, implementation_names, load_implementation
from ..models.notation import parse_esp, parse_ike
from ..models.values import Value
from .exchange import exchange
from .exchange_scenarios import SCENARIOS
from .exchange_words import MEANINGS

COMMAND = "flexvpn-sim protocol --markdown docs/protocol.md"
#: What is played to see notifications: implementations, and ways to authenticate.
PLAYED = ("strongswan", "ios-xe-16.9")
AUTHENTICATIONS = ("psk", "rsa2048", "eap-mschapv2:rsa2048")
LEFT_OUT = "What this leaves out: "


def page() -> str:
    """Return the page."""
    parts = [
        "# The protocol, as it is simulated",
        f"Written by `{COMMAND}` from the tables of the code; do not edit.",
        _messages(),
        _messages_v1(),
        _notifications(),
        _algorithms(),
        _numbers(),
        _list("Events", "What an endpoint reports.", get_args(EventKind)),
        _list("Causes", "Why an attempt failed, an SA was refused or came to its end.", get_args(Cause)),
        _scenarios(),
        _left_out(),
    ]
    return "\n\n".join(parts) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def _list(heading: str, what: str, words: Iterable[str]) -> str:
    return f"## {heading}\n{what}\n\n" + "\n".join(f"- {word}" for word in words)


def _compositions(messages: dict[str, Any]) -> str:
    rows = []
    for name, parts in messages.items():
        shown = [f"{p.payload} *({p.when})*" if isinstance(p, Part) and p.when else _token(p) for p in parts]
        rows.append((name.replace("_", " "), " ".join(shown)))
    return _table(("message", "payloads in order"), rows)


def _token(part: Part | str) -> str:
    return part if isinstance(part, str) else part.payload


def _messages() -> str:
    sections = ["## Messages of IKEv2\nA word in brackets is the condition under which a payload is sent."]
    for name in implementation_names():
        profile = load_implementation(name)
        messages = {field: getattr(profile.compositions, field) for field in type(profile.compositions).model_fields}
        sections.append(f"### {name}: {profile.title}\n{_compositions(messages)}")
    return "\n\n".join(sections)


def _messages_v1() -> str:
    what = (
        "## Messages of IKEv1\nWith certificates HASH is a signature; CERT and CERTREQ are sent with them only. "
        "Quick mode and informational exchanges leave nothing to choose (RFC 2409 5.5, 5.7)."
    )
    sections = [what]
    for name in implementation_v1.names():
        profile = implementation_v1.load(name)
        sections.append(f"### IKEv1, {name}: {profile.title}\n{_compositions(profile.compositions.model_dump())}")
    return "\n\n".join(sections)


def _conversations() -> Iterator[dict[str, Any]]:
    ike, esp = parse_ike("aes256-sha512-ecp256-modp2048"), parse_esp("aes256-sha512")
    hardware = load_profile("isr4321")
    for name in PLAYED:
        for scenario in SCENARIOS:
            for auth in AUTHENTICATIONS:
                try:
                    yield exchange(ike, esp, hardware, implementation=name, scenario=scenario, auth=auth)
                except InputError:
                    # This implementation, or this way to authenticate, does not have it.
                    continue


def _notifications() -> str:
    seen: dict[str, set[int]] = {}
    for conversation in _conversations():
        for message in conversation["messages"]:
            for name, size in re.findall(r"N:([A-Z0-9_]+)\((\d+)\)", message["payloads"]):
                seen.setdefault(name, set()).add(int(size))
    rows = [
        (
            number,
            name,
            "error" if number < STATUS_TYPES_FROM else "status",
            ", ".join(map(str, sorted(seen.get(name, ())))),
        )
        for name, number in sorted(NOTIFY_TYPES.items(), key=lambda item: item[1])
    ]
    what = (
        "A notification has 8 bytes, its SPI and its data (RFC 7296 3.10). Sizes are those of the conversations of all "
        f"scenarios with {' and '.join(PLAYED)}; none where no such conversation carries it."
    )
    return f"## Notifications\n{what}\n\n" + _table(("number", "type", "kind", "bytes"), rows)


def _algorithms() -> str:
    encryption = _table(
        ("number", "encryption", "key bits", "salt B", "IV B", "block B", "ICV B"),
        [(e.number, e.name, e.key_bits or "fixed", e.salt_bytes, e.iv_bytes, e.block_bytes, e.icv_bytes)
         for e in ENCRYPTIONS.values()],
    )  # fmt: skip
    integrity = _table(
        ("number", "integrity", "key B", "ICV B"),
        [(i.number, i.name, i.key_bytes, i.icv_bytes) for i in INTEGRITIES.values()],
    )
    prf = _table(("number", "PRF", "output B"), [(p.number, p.name, p.output_bytes) for p in PRFS.values()])
    groups = _table(
        ("number", "group", "kind", "bits", "public value B"),
        [(g.number, g.name, g.kind, g.bits, g.public_bytes) for g in GROUPS.values()],
    )
    kems = _table(
        ("number", "key encapsulation", "public key B", "ciphertext B"),
        [(k.number, k.name, k.public_bytes, k.ciphertext_bytes) for k in KEMS.values()],
    )
    signatures = _table(
        ("signature", "bits", "signature B", "public key B", "AlgorithmIdentifier B"),
        [(s.name, s.bits, s.signature_bytes, s.public_key_bytes, s.algorithm_identifier_bytes)
         for s in SIGNATURES.values()],
    )  # fmt: skip
    return "\n\n".join(["## Algorithms", encryption, integrity, prf, groups, kems, signatures])


def _number_row(name: str, value: Value) -> tuple[str, ...]:
    spread = "" if value.range is None else f"{value.range[0]:g} to {value.range[1]:g}"
    return name, f"{value.value:g}", value.unit or "", value.kind, value.source, spread


def _numbers() -> str:
    columns = ("value", "is", "unit", "kind", "source", "range")
    sections = ["## Timers, limits and lengths\nA source is explained in the file of its implementation."]
    profiles: list[tuple[str, Any]] = [(name, load_implementation(name)) for name in implementation_names()]
    profiles += [(f"IKEv1, {name}", implementation_v1.load(name)) for name in implementation_v1.names()]
    for name, profile in profiles:
        stated = {field: getattr(profile.values, field) for field in type(profile.values).model_fields}
        stated |= {f"vendor ID {vendor}": value for vendor, value in profile.vendor_ids.items()}
        rows = [_number_row(field, value) for field, value in stated.items() if value is not None]
        sections.append(f"### Values of {name}\n{_table(columns, rows)}")
    return "\n\n".join(sections)


def _scenarios() -> str:
    rows = [(f"`{name}`", meaning) for name, meaning in MEANINGS.items()]
    return "## Scenarios of `flexvpn-sim exchange`\n" + _table(("scenario", "what happens"), rows)


def _left_out() -> str:
    """Return what the modules of the protocol say that they leave out."""
    rows = []
    for package in (ikev2, ikev1):
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            name = f"{package.__name__}.{module.name}"
            text = (importlib.import_module(name).__doc__ or "").partition(LEFT_OUT)[2]
            said = " ".join(text.partition("\n\n")[0].split())
            if said:
                rows.append((f"`{name.partition('.models.')[2]}`", said))
    return "## What is left out\n" + _table(("module", "leaves out"), rows)
