"""Finds the secret part of an IOS command, before anything else gets to see the command.

It works on words alone, not knowing the section, and so hides rather too much than too little: in doubt the rest of
the line goes. What it leaves out: secrets in free text that no keyword announces.
"""

from __future__ import annotations

from collections.abc import Sequence

HIDDEN = "<secret>"

_KEY_TYPES = frozenset({"0", "5", "6", "7", "8", "9", "hex", "encrypted"})
#: Whatever follows one of these words is secret, wherever it stands.
_ANNOUNCERS = frozenset(
    {
        "password",
        "secret",
        "passphrase",
        "passwd",
        "key-string",
        "key-octet-string",
        "server-key",
        "authentication-key",
        "message-digest-key",
        "area-password",
        "domain-password",
        "ftp-password",
        "config-key",
        "session-key",
        "pre-shared-secret",
        "wpa-psk",
        "pac",
    }
)


def _abbreviates(word: str, keyword: str, shortest: int) -> bool:
    return len(word) >= shortest and keyword.startswith(word)


def _after_key_type(words: Sequence[str], start: int) -> int:
    """Return where the secret itself begins: a type number in front of it stays visible."""
    while start < len(words) - 1 and words[start] in _KEY_TYPES:
        start += 1
    return start


def _pre_shared_key(words: Sequence[str], start: int) -> int:
    """Return where the key of ``pre-shared-key ...`` begins (``start`` is the word after the keyword)."""
    if start < len(words) and words[start] in {"address", "hostname"} and "key" in words[start:]:
        return _after_key_type(words, words.index("key", start) + 1)
    for side in ("local", "remote"):
        if start < len(words) and _abbreviates(words[start], side, 1):
            has_key = start + 1 < len(words)
            return _after_key_type(words, start + 1) if has_key or words[start] == side else start
    return _after_key_type(words, start)


def _by_first_word(words: Sequence[str]) -> int | None:
    """Return where the secret begins in commands whose first word decides."""
    first, second = words[0], words[1]
    if _abbreviates(first, "pre-shared-key", 2):
        return _pre_shared_key(words, 1)
    if first == "key" and second != "chain":
        return _after_key_type(words, 1)
    if _abbreviates(first, "snmp-server", 4) and any(_abbreviates(second, w, 1) for w in ("community", "host", "user")):
        return 2
    if _abbreviates(first, "username", 4) or _abbreviates(first, "enable", 2):
        for index, word in enumerate(words[1:], start=1):
            if _abbreviates(word, "password", 2) or _abbreviates(word, "secret", 1):
                return _after_key_type(words, index + 1)
    if first in {"standby", "vrrp", "glbp"} and "authentication" in words:
        return words.index("authentication") + 1
    if first in {"ip", "ipv6"} and _abbreviates(second, "nhrp", 2) and _abbreviates(words[-2], "authentication", 2):
        return len(words) - 1
    if _abbreviates(first, "neighbor", 3) and len(words) > 2 and _abbreviates(words[2], "password", 2):
        return _after_key_type(words, 3)
    return None


def _by_any_word(words: Sequence[str]) -> int | None:
    """Return where the secret begins after a word that announces one at any place of the line."""
    for index, word in enumerate(words):
        following = index + 1
        if word in _ANNOUNCERS or _abbreviates(word, "password", 4) or _abbreviates(word, "secret", 4):
            return _after_key_type(words, following)
        if index and _abbreviates(word, "pre-shared-key", 11):
            return _pre_shared_key(words, following)
        if index and word == "key" and not any(_abbreviates(words[index - 1], w, 2) for w in ("tunnel", "crypto")):
            return _after_key_type(words, following)
        if index and word in {"md5", "sha", "psk", "community"} and words[0] not in {"integrity", "prf", "hash", "set"}:
            typed = following < len(words) - 1 and words[following] in _KEY_TYPES
            if typed or words[index - 1].isdigit():
                return _after_key_type(words, following)
    return None


def secret_end(words: Sequence[str], start: int) -> int:
    """Return the index behind the secret that begins at ``start``: a PPK may be followed by ``required``."""
    first = next((w.lower() for w in words if w.lower() not in {"no", "default"}), "")
    flagged = first == "ppk" and start < len(words) - 1 and _abbreviates(words[-1].lower(), "required", 1)
    return len(words) - 1 if flagged else len(words)


def secret_start(words: Sequence[str]) -> int | None:
    """Return the index of the first secret word of a command (without ``no``), or None when it holds no secret."""
    lowered = [word.lower().strip("'\"") for word in words]
    if len(lowered) < 2:
        return None
    starts = [start for start in (_by_first_word(lowered), _by_any_word(lowered)) if start is not None]
    start = min(starts, default=len(lowered))
    return start if start < len(lowered) else None
