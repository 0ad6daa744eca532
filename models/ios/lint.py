"""Finds what is wrong with a folder of configurations before anything is simulated.

The rules live in the ``rules_*`` modules, by topic. What this leaves out: whatever needs lines that the reader does
not understand (NHRP, access lists, crypto maps), and every judgement about secrets that the collector of the
configurations has replaced.
"""

from __future__ import annotations

from . import rules_aaa, rules_authentication, rules_certificates, rules_crypto, rules_network, rules_references
from .config import RouterConfig
from .rules_registry import RULES, Finding, Severity

__all__ = ["RULES", "Finding", "Severity", "lint"]

_ORDER: dict[Severity, int] = {"fatal": 0, "warning": 1, "note": 2}

# Importing the modules registers their rules.
_MODULES = (rules_aaa, rules_authentication, rules_certificates, rules_crypto, rules_network, rules_references)


def lint(routers: list[RouterConfig]) -> list[Finding]:
    """Return every finding about these routers: the fatal ones first, then by rule, file and line."""
    findings = [finding for function in RULES.values() for finding in function(routers)]
    return sorted(findings, key=_sort_key)


def _sort_key(finding: Finding) -> tuple[int, str, str, int, str]:
    first = finding.lines[0] if finding.lines else None
    place = (first.file, first.number) if first else ("", 0)
    return _ORDER[finding.severity], finding.rule, *place, finding.message
