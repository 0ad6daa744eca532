"""Proposals as people write them: strongSwan's notation and the words of IOS.

==========  =========================================================================================
strongSwan  ``aes256-sha512-modp2048``, ``aes128gcm16-prfsha256-ecp256``; for ESP ``aes256-sha512``
IOS         ``aes-cbc-256 sha512 14``, ``aes-gcm-256 prf sha384 20``; for ESP ``aes-cbc-256 sha512`` or
            the words of a transform set, ``esp-aes 256 esp-sha512-hmac``
==========  =========================================================================================

In either notation a proposal may name several algorithms of a type, in order of preference:
``aes128-aes256-sha256-sha1-x25519-modp2048``. ``default`` stands for what an implementation offers when nothing is
configured (`parse_ike_list` and `parse_esp_list` with ``defaults``).

``ke1_mlkem768`` to ``ke7_...`` (strongSwan) ask for additional key exchanges: an ML-KEM, a group, or a method that the
caller describes. Blanks tell the notations apart. The keywords are those of strongSwan's
``proposal_keywords_static.txt`` for the algorithms that `algorithms` holds. Without a PRF word the hash of the
integrity algorithm serves as PRF; with an AEAD cipher a bare hash word is the PRF. A group in an ESP proposal asks for
perfect forward secrecy. AH has integrity and groups alone (`parse_ah`): ``sha256-modp2048``, ``ah-sha256-hmac``.

Commas divide several proposals (`parse_ike_list`, `parse_esp_list`), in order of preference.

What this leaves out: AES-GMAC in AH, optional additional key exchanges (``ke1_none``) and those of a Child SA, optional
perfect forward secrecy (``none`` among the groups), Camellia-XCBC, NTRU and the post-quantum methods of before ML-KEM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from .algorithms import ENCRYPTIONS, GROUPS, INTEGRITIES, KEMS, PRFS, Kem, KeyExchange
from .errors import InputError, unknown_name
from .ikev2.proposals import EspProposal, IkeProposal

_AES_BITS = (128, 192, 256)

#: Lengths of an ICV in bytes and in bits as keywords have them, and how `algorithms` names the cipher then.
_ICVS = {"": "", "16": "", "128": "", "12": "12", "96": "12", "8": "8", "64": "8"}

#: Encryption keywords of strongSwan.
_CIPHERS: dict[str, str] = {
    "des": "des",
    "3des": "3des",
    "null": "null",
    "cast128": "cast-128",
    "aes": "aes-cbc-128",
    "chacha20poly1305": "chacha20poly1305",
    **{f"aes{bits}": f"aes-cbc-{bits}" for bits in _AES_BITS},
    **{f"aes{bits}gmac": f"aes-gmac-{bits}" for bits in _AES_BITS},
    **{f"{cipher}{bits}ctr": f"{cipher}-ctr-{bits}" for cipher in ("aes", "camellia") for bits in _AES_BITS},
    **{
        f"{cipher}{bits}{mode}{word}": f"{cipher}-{mode}{icv}-{bits}"
        for cipher, mode in (("aes", "gcm"), ("aes", "ccm"), ("camellia", "ccm"))
        for bits in _AES_BITS
        for word, icv in _ICVS.items()
        if word or cipher == "aes"
    },
    **{
        f"{cipher}{bits or ''}": f"{name}-{bits or 128}"
        for cipher, name in (
            ("camellia", "camellia-cbc"),
            ("blowfish", "blowfish"),
            ("serpent", "serpent-cbc"),
            ("twofish", "twofish-cbc"),
        )
        for bits in (None, *_AES_BITS)
    },
}
#: Integrity keywords of strongSwan, and words of IOS.
_HASHES: dict[str, str] = {
    "md5": "md5",
    "sha": "sha1",
    "sha1": "sha1",
    **{f"{family}{bits}": f"sha{bits}" for bits in (256, 384, 512) for family in ("sha", "sha2_")},
}
_INTEGRITIES: dict[str, str] = {
    **_HASHES,
    "md5_128": "md5-128",
    "sha1_160": "sha1-160",
    "sha256_96": "sha256-96",
    "sha2_256_96": "sha256-96",
    "aesxcbc": "aes-xcbc",
    "aescmac": "aes-cmac",
}
_PRFS: dict[str, str] = {f"prf{name.replace('-', '')}": name for name in PRFS}
#: Which PRF an integrity algorithm stands for when none is named; truncation makes no difference.
_PRF_OF = {name: algorithm.hash for name, algorithm in INTEGRITIES.items()}
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
_STRONGSWAN_WORDS = (*_CIPHERS, *_INTEGRITIES, *_PRFS, *_GROUPS, *_ESN, *(f"ke1_{name}" for name in KEMS))

#: Transforms of IOS whose key length is a word of its own; without one it is 128 bits.
_SIZED_TRANSFORMS = {"esp-aes": "aes-cbc", "esp-gcm": "aes-gcm", "esp-gmac": "aes-gmac"}
_TRANSFORMS = {"esp-3des": "3des", "esp-des": "des", "esp-null": "null"}
_TRANSFORM_HASHES = {f"esp-{word}-hmac": _HASHES[word] for word in ("md5", "sha", "sha256", "sha384", "sha512")}
_AH_TRANSFORMS = {word.replace("esp-", "ah-"): name for word, name in _TRANSFORM_HASHES.items()}
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
    esn: list[bool] = field(default_factory=list)


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
    prf = words.prf or list(dict.fromkeys(_PRF_OF[name] for name in words.integrity))
    if not prf:
        raise wrong(f"{words.encryption[0]} needs a PRF, as prfsha256 (strongSwan) or 'prf sha256' (IOS)")
    if not words.groups:
        raise wrong("a key exchange group is missing, as modp2048 (strongSwan) or 14 (IOS)")
    if words.esn:
        raise wrong("extended sequence numbers are for ESP alone")
    integrity = () if aead else tuple(words.integrity)
    additional = tuple(tuple(methods) for methods in words.additional)
    return IkeProposal(tuple(words.encryption), integrity, tuple(prf), tuple(words.groups), additional)


def parse_esp(text: str, where: str = "", *, authenticated: bool = False) -> EspProposal:
    """Return the ESP proposal that ``text`` describes; its group, if any, is that of perfect forward secrecy.

    ``authenticated``: AH protects the integrity, so that ESP may go without.

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
    if aead and words.integrity:
        raise wrong(
            f"{words.encryption[0]} protects integrity itself, so the word for {words.integrity[0]} is too many"
        )
    if not aead and not words.integrity and not authenticated:
        raise wrong("an integrity algorithm is missing, as sha256")
    esn = tuple(words.esn) or (False,)
    return EspProposal(tuple(words.encryption), tuple(words.integrity), esn, tuple(words.groups))


def parse_ah(text: str, where: str = "") -> EspProposal:
    """Return the AH proposal that ``text`` describes: integrity algorithms, a group of perfect forward secrecy, ESN.

    >>> str(parse_ah("sha256-sha1-modp2048")), str(parse_ah("ah-sha-hmac"))
    ('AH sha256/sha1 pfs modp2048', 'AH sha1')

    Raises InputError, with the nearest valid word for one that is unknown; ``where`` names the place in it.
    """
    if text.lower() in _AH_TRANSFORMS:
        return EspProposal((), (_AH_TRANSFORMS[text.lower()],))
    words = _read(text, where)

    def wrong(reason: str) -> InputError:
        return InputError(f"'{text}' is no AH proposal: {reason}", where)

    if words.encryption:
        raise wrong(f"{words.encryption[0]} is for ESP, and AH does not encrypt")
    if words.prf:
        raise wrong("a PRF is for IKE alone")
    if words.additional:
        raise wrong("additional key exchanges are simulated for IKE alone")
    if not words.integrity:
        raise wrong("an integrity algorithm is missing, as sha256")
    return EspProposal((), tuple(words.integrity), tuple(words.esn) or (False,), tuple(words.groups))


def parse_ike_list(
    text: str,
    where: str = "",
    methods: Mapping[str, Kem] = MappingProxyType({}),
    defaults: Sequence[IkeProposal] = (),
) -> tuple[IkeProposal, ...]:
    """Return the IKE proposals of a text with commas between them; ``default`` among them stands for ``defaults``.

    >>> [str(p) for p in parse_ike_list("aes256-sha512-modp4096, aes256-sha512-modp2048")]
    ['aes-cbc-256 sha512 prf sha512 modp4096', 'aes-cbc-256 sha512 prf sha512 modp2048']
    """
    proposals: list[IkeProposal] = []
    for part in text.split(","):
        proposals += defaults if _is_default(part, defaults) else [parse_ike(part, where, methods)]
    return tuple(proposals)


def parse_esp_list(text: str, where: str = "", defaults: Sequence[EspProposal] = ()) -> tuple[EspProposal, ...]:
    """Return the ESP proposals of a text with commas between them; ``default`` among them stands for ``defaults``.

    >>> [str(p) for p in parse_esp_list("aes128gcm16, aes128-sha256")]
    ['aes-gcm-128', 'aes-cbc-128 sha256']
    """
    proposals: list[EspProposal] = []
    for part in text.split(","):
        proposals += defaults if _is_default(part, defaults) else [parse_esp(part, where)]
    return tuple(proposals)


def _is_default(text: str, defaults: Sequence[object]) -> bool:
    return bool(defaults) and text.strip().lower() == "default"


def parse_integrity(text: str, where: str = "") -> str:
    """Return the integrity algorithm of AH: a word of strongSwan, or of a transform set of IOS.

    >>> parse_integrity("sha256"), parse_integrity("ah-sha-hmac")
    ('sha256', 'sha1')

    Raises InputError with the nearest valid word.
    """
    names = _INTEGRITIES | _AH_TRANSFORMS
    if text.lower() not in names:
        raise unknown_name("integrity algorithm of AH", text, names, where)
    return names[text.lower()]


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
        elif word in _INTEGRITIES:
            words.integrity.append(_INTEGRITIES[word])
        elif word in _PRFS:
            words.prf.append(_PRFS[word])
        elif word in _GROUPS:
            words.groups.append(_GROUPS[word])
        elif word in _ESN:
            words.esn.append(_ESN[word])
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
        elif word in INTEGRITIES:
            words.integrity.append(word)
        elif word == "prf":
            known = _HASHES | {name: name for name in PRFS}
            if after not in known:
                raise unknown_name("PRF", after, known, where)
            words.prf.append(known[after])
            next(rest)
        elif word in ("group", "pfs"):
            if after not in _GROUP_WORDS and after not in _GROUP_NUMBERS:
                raise unknown_name("key exchange group", after, _GROUP_NUMBERS, where)
        elif word in _GROUP_WORDS or word in _GROUP_NUMBERS:
            words.groups.append((_GROUP_WORDS | _GROUP_NUMBERS)[word])
        else:
            raise unknown_name("word of a proposal", word, _IOS_WORDS, where)
    return words
