"""Proposals as people write them: strongSwan's notation and the words of IOS.

==========  =========================================================================================
strongSwan  ``aes256-sha512-modp2048``, ``aes128gcm16-prfsha256-ecp256``; for ESP ``aes256-sha512``
IOS         ``aes-cbc-256 sha512 14``, ``aes-gcm-256 prf sha384 20``; for ESP ``aes-cbc-256 sha512`` or
            the words of a transform set, ``esp-aes 256 esp-sha512-hmac``
==========  =========================================================================================

``ke1_mlkem768`` to ``ke7_...`` (strongSwan) ask for additional key exchanges: an ML-KEM, a group, or a method that the
caller describes. Blanks tell the notations apart. The keywords are those of strongSwan's
``proposal_keywords_static.txt`` for the algorithms that `algorithms` holds. Without a PRF word the hash of the
integrity algorithm serves as PRF; with an AEAD cipher a bare hash word is the PRF. A group in an ESP proposal asks for
perfect forward secrecy.

Commas divide several proposals (`parse_ike_list`, `parse_esp_list`), in order of preference.

What this leaves out: optional additional key exchanges (``ke1_none``) and those of a Child SA, brainpool curves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .algorithms import ENCRYPTIONS, GROUPS, KEMS, PRFS, Kem, KeyExchange
from .errors import InputError, unknown_name
from .ikev2.proposals import EspProposal, IkeProposal

_AES_BITS = (128, 192, 256)

#: Encryption keywords of strongSwan; the number behind ``gcm`` is the length of the ICV in bytes or in bits.
_CIPHERS: dict[str, str] = {
    "des": "des",
    "3des": "3des",
    "null": "null",
    "aes": "aes-cbc-128",
    "chacha20poly1305": "chacha20poly1305",
    **{f"aes{bits}": f"aes-cbc-{bits}" for bits in _AES_BITS},
    **{f"aes{bits}gcm{icv}": f"aes-gcm-{bits}" for bits in _AES_BITS for icv in ("", "16", "128")},
    **{f"aes{bits}gmac": f"aes-gmac-{bits}" for bits in _AES_BITS},
}
_HASHES: dict[str, str] = {
    "md5": "md5",
    "sha": "sha1",
    "sha1": "sha1",
    **{f"{family}{bits}": f"sha{bits}" for bits in (256, 384, 512) for family in ("sha", "sha2_")},
}
_PRFS: dict[str, str] = {f"prf{name}": name for name in PRFS}
_GROUPS: dict[str, int] = {group.name: number for number, group in GROUPS.items()} | {"x25519": 31, "x448": 32}
#: Names behind ``ke1_``; Kyber's are those of strongSwan before FIPS 203, and its sizes are the same.
_KEY_EXCHANGES: dict[str, KeyExchange] = {
    **KEMS,
    **{f"kyber{level}": KEMS[name] for level, name in ((1, "mlkem512"), (3, "mlkem768"), (5, "mlkem1024"))},
    **{name: GROUPS[number] for name, number in _GROUPS.items()},
}
#: Transform types ADDKE1 to ADDKE7 (RFC 9370).
_ADDITIONAL = {f"ke{number}": number - 1 for number in range(1, 8)}
_ESN: dict[str, bool] = {"esn": True, "noesn": False}
_STRONGSWAN_WORDS = (*_CIPHERS, *_HASHES, *_PRFS, *_GROUPS, *_ESN, *(f"ke1_{name}" for name in KEMS))

#: Transforms of IOS whose key length is a word of its own; without one it is 128 bits.
_SIZED_TRANSFORMS = {"esp-aes": "aes-cbc", "esp-gcm": "aes-gcm", "esp-gmac": "aes-gmac"}
_TRANSFORMS = {"esp-3des": "3des", "esp-des": "des", "esp-null": "null"}
_TRANSFORM_HASHES = {f"esp-{word}-hmac": _HASHES[word] for word in ("md5", "sha", "sha256", "sha384", "sha512")}
_GROUP_WORDS = {f"group{number}": number for number in GROUPS}
_GROUP_NUMBERS = {str(number): number for number in GROUPS}
_IOS_WORDS = (
    *ENCRYPTIONS,
    *_SIZED_TRANSFORMS,
    *_TRANSFORMS,
    *_TRANSFORM_HASHES,
    *_HASHES,
    *_GROUP_WORDS,
    *_GROUP_NUMBERS,
    "prf",
    "group",
    "pfs",
)


@dataclass(slots=True)
class _Words:
    """The algorithms that a text names, by type and in their order."""

    encryption: list[str] = field(default_factory=list)
    integrity: list[str] = field(default_factory=list)
    prf: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    additional: list[list[KeyExchange]] = field(default_factory=list)
    esn: bool = False


def parse_ike(text: str, where: str = "", methods: Mapping[str, Kem] = MappingProxyType({})) -> IkeProposal:
    """Return the IKE proposal that ``text`` describes; ``methods`` are key exchanges to be named behind ``ke1_``.

    >>> str(parse_ike("aes128gcm16-prfsha256-ecp256"))
    'aes-gcm-128 prf sha256 ecp256'
    >>> str(parse_ike("aes256-sha256-curve25519-ke1_mlkem768"))
    'aes-cbc-256 sha256 prf sha256 curve25519 ke1 mlkem768'

    Raises InputError, with the nearest valid word for one that is unknown; ``where`` names the place in it.
    """
    words = _read(text, where, methods)

    def wrong(reason: str) -> InputError:
        return InputError(f"'{text}' is no IKE proposal: {reason}", where)

    aead = _aead(words, wrong)
    for name in words.encryption:
        if name == "null" or "gmac" in name:
            raise wrong(f"{name} does not encrypt and is for ESP alone")
    if aead and words.integrity and words.prf:
        raise wrong(
            f"{words.encryption[0]} protects integrity itself, so the word for {words.integrity[0]} is too many"
        )
    if not aead and not words.integrity:
        raise wrong("an integrity algorithm is missing, as sha256")
    prf = words.prf or words.integrity
    if not prf:
        raise wrong(f"{words.encryption[0]} needs a PRF, as prfsha256 (strongSwan) or 'prf sha256' (IOS)")
    if not words.groups:
        raise wrong("a key exchange group is missing, as modp2048 (strongSwan) or 14 (IOS)")
    if words.esn:
        raise wrong("extended sequence numbers are for ESP alone")
    integrity = () if aead else tuple(words.integrity)
    additional = tuple(tuple(methods) for methods in words.additional)
    return IkeProposal(tuple(words.encryption), integrity, tuple(prf), tuple(words.groups), additional)


def parse_esp(text: str, where: str = "") -> EspProposal:
    """Return the ESP proposal that ``text`` describes; its group, if any, is that of perfect forward secrecy.

    >>> str(parse_esp("esp-aes 256 esp-sha512-hmac"))
    'aes-cbc-256 sha512'

    Raises InputError, with the nearest valid word for one that is unknown; ``where`` names the place in it.
    """
    words = _read(text, where)

    def wrong(reason: str) -> InputError:
        return InputError(f"'{text}' is no ESP proposal: {reason}", where)

    aead = _aead(words, wrong)
    if words.prf:
        raise wrong("a PRF is for IKE alone")
    if words.additional:
        raise wrong("additional key exchanges are simulated for IKE alone")
    if len(words.encryption) > 1 or len(words.integrity) > 1:
        raise wrong("one encryption and one integrity algorithm at most")
    if aead and words.integrity:
        raise wrong(
            f"{words.encryption[0]} protects integrity itself, so the word for {words.integrity[0]} is too many"
        )
    if not aead and not words.integrity:
        raise wrong("an integrity algorithm is missing, as sha256")
    return EspProposal(words.encryption[0], "".join(words.integrity), words.esn, tuple(words.groups))


def parse_ike_list(
    text: str, where: str = "", methods: Mapping[str, Kem] = MappingProxyType({})
) -> tuple[IkeProposal, ...]:
    """Return the IKE proposals of a text with commas between them.

    >>> [str(p) for p in parse_ike_list("aes256-sha512-modp4096, aes256-sha512-modp2048")]
    ['aes-cbc-256 sha512 prf sha512 modp4096', 'aes-cbc-256 sha512 prf sha512 modp2048']
    """
    return tuple(parse_ike(part, where, methods) for part in text.split(","))


def parse_esp_list(text: str, where: str = "") -> tuple[EspProposal, ...]:
    """Return the ESP proposals of a text with commas between them.

    >>> [str(p) for p in parse_esp_list("aes128gcm16, aes128-sha256")]
    ['aes-gcm-128', 'aes-cbc-128 sha256']
    """
    return tuple(parse_esp(part, where) for part in text.split(","))


def parse_group(text: str, where: str = "") -> int:
    """Return the number of a key exchange group, named as ``modp2048``, ``group14`` or ``14``.

    >>> parse_group("ecp384")
    20
    """
    names = _GROUPS | _GROUP_WORDS | _GROUP_NUMBERS
    if text.lower() not in names:
        raise unknown_name("key exchange group", text, [*_GROUPS, *_GROUP_NUMBERS], where)
    return names[text.lower()]


def _aead(words: _Words, wrong: Callable[[str], InputError]) -> bool:
    """Return whether the ciphers are AEAD ciphers: all of them or none (RFC 7296 3.3, RFC 5282 section 8)."""
    kinds = {ENCRYPTIONS[name].aead for name in words.encryption}
    if not kinds:
        raise wrong("an encryption algorithm is missing, as aes256 (strongSwan) or aes-cbc-256 (IOS)")
    if len(kinds) > 1:
        raise wrong("ciphers with and without integrity of their own need proposals of their own")
    return kinds.pop()


def _read(text: str, where: str, methods: Mapping[str, Kem] = MappingProxyType({})) -> _Words:
    words = text.lower().split()
    if not words:
        raise InputError("no proposal is given", where)
    # One word alone may be IOS too: "aes-gcm-256" has the dashes of strongSwan's notation.
    ios = len(words) > 1 or text.strip().lower() in (*ENCRYPTIONS, *_SIZED_TRANSFORMS, *_TRANSFORMS)
    return _read_ios(words, where) if ios else _read_strongswan("".join(words), where, methods)


def _read_strongswan(text: str, where: str, methods: Mapping[str, Kem]) -> _Words:
    words = _Words()
    for word in text.split("-"):
        kind, _, name = word.partition("_")
        if kind in _ADDITIONAL:
            known = {**_KEY_EXCHANGES, **methods}
            if name not in known:
                raise unknown_name("additional key exchange", name, known, where)
            words.additional += [[] for _ in range(len(words.additional), _ADDITIONAL[kind] + 1)]
            words.additional[_ADDITIONAL[kind]].append(known[name])
        elif word in _CIPHERS:
            words.encryption.append(_CIPHERS[word])
        elif word in _HASHES:
            words.integrity.append(_HASHES[word])
        elif word in _PRFS:
            words.prf.append(_PRFS[word])
        elif word in _GROUPS:
            words.groups.append(_GROUPS[word])
        elif word in _ESN:
            words.esn = _ESN[word]
        else:
            raise unknown_name("word of a proposal", word, _STRONGSWAN_WORDS, where)
    return words


def _read_ios(given: list[str], where: str) -> _Words:
    words = _Words()
    rest = iter(enumerate(given, start=1))
    for following, word in rest:
        after = given[following] if following < len(given) else ""
        if word in _SIZED_TRANSFORMS:
            sized = after in {str(bits) for bits in _AES_BITS}
            words.encryption.append(f"{_SIZED_TRANSFORMS[word]}-{after if sized else 128}")
            if sized:
                next(rest)
        elif word in _TRANSFORMS:
            words.encryption.append(_TRANSFORMS[word])
        elif word in ENCRYPTIONS:
            words.encryption.append(word)
        elif word in _TRANSFORM_HASHES or word in _HASHES:
            words.integrity.append((_TRANSFORM_HASHES | _HASHES)[word])
        elif word == "prf":
            if after not in _HASHES:
                raise unknown_name("PRF", after, _HASHES, where)
            words.prf.append(_HASHES[after])
            next(rest)
        elif word in ("group", "pfs"):
            if after not in _GROUP_WORDS and after not in _GROUP_NUMBERS:
                raise unknown_name("key exchange group", after, _GROUP_NUMBERS, where)
        elif word in _GROUP_WORDS or word in _GROUP_NUMBERS:
            words.groups.append((_GROUP_WORDS | _GROUP_NUMBERS)[word])
        else:
            raise unknown_name("word of a proposal", word, _IOS_WORDS, where)
    return words
