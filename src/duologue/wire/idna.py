"""Internationalized host names to ASCII, in the way of UTS #46 as WHATWG URLs use it.

Non-transitional processing, no checks of hyphens and lengths (WHATWG "domain to ASCII" with
beStrict false): sharp s, final sigma and the joiners keep their meaning. It must never resolve or
judge a name; what cannot stand in a URL's host is judged by `wire.host`.

Python has no table of UTS #46. Mapping follows NFKC and case folding, which the table was made
from, and validity follows general categories, with the Unicode version of `unicodedata`. Not
covered, and accepted or mapped as those say: characters UTS #46 treats against that rule (a few
hundred, chiefly historic letters and compatibility symbols), and zero-width non-joiners between
joining letters, which are refused unless they follow a virama (the stdlib has no joining types).

Sources: UTS #46 sections 4 and 4.1; RFC 3492 (Punycode); RFC 5892 appendix A (joiners); RFC 5893
section 2 (bidi rule).
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["domain_to_ascii"]

# They map to nothing: soft hyphen, zero-width space, word joiner, byte order mark, the grapheme
# joiner, Mongolian and other variation selectors.
_ignored = re.compile("[\u00ad\u034f\u180b-\u180d\u180f\u200b\u2060\u2064\ufe00-\ufe0f\ufeff]")
_dots = re.compile("[.\u3002\uff0e\uff61]")
_JOINERS = "\u200c\u200d"
# Case folding would replace them by what only transitional processing does.
_FOLDS = {"ß": "ß", "ς": "ς", "\u1e9e": "ß"}
_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
_MARKS = frozenset({"Mn", "Mc", "Me"})


def domain_to_ascii(domain: str) -> str:
    """Turn a host name into the form that is looked up.

    Args:
        domain: Host name, not percent-encoded.

    Returns:
        The name in lower case, each label with other than ASCII characters as "xn--…".

    Raises:
        ValueError: If a label cannot be part of a host name.
    """
    if domain.isascii():
        name = domain.lower()
        if "xn--" not in name:
            return name
    labels = [_check(label) for label in _dots.split(_map(domain))]
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in "".join(labels)):
        for label in labels:
            _check_direction(label)
    return ".".join(_encode(label) for label in labels)


def _map(domain: str) -> str:
    """Apply the mapping step: compatibility forms, case, ignored characters."""
    text = unicodedata.normalize("NFKC", _ignored.sub("", domain))
    folded = "".join(_FOLDS.get(char) or char.casefold() for char in text)
    return unicodedata.normalize("NFKC", _ignored.sub("", folded))


def _check(label: str) -> str:
    """Return a mapped label in Unicode, or refuse it."""
    if label.startswith("xn--"):
        label = _decode(label)
    if label.isascii():
        return label
    if unicodedata.category(label[0]) in _MARKS:
        raise ValueError(f"label of a host name starts with a combining mark: {label!r}")
    for index, char in enumerate(label):
        if char in _JOINERS:
            if index == 0 or unicodedata.combining(label[index - 1]) != 9:
                raise ValueError(f"joiner in a host name where none can be: {label!r}")
        elif unicodedata.category(char) in _BAD_CATEGORIES or char == "\ufffd":
            raise ValueError(f"character U+{ord(char):04X} in a host name")
    return label


def _decode(label: str) -> str:
    """Decode an "xn--" label, which must be the very one that its text encodes to."""
    if not label.isascii():
        raise ValueError(f"label of a host name is only partly encoded: {label!r}")
    try:
        text = label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        raise ValueError(f"label of a host name is not Punycode: {label!r}") from None
    if text.isascii() or _map(text) != text or _dots.search(text) or _encode(text) != label:
        raise ValueError(f"label of a host name encodes what it must not: {label!r}")
    return text


def _encode(label: str) -> str:
    if label.isascii():
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def _check_direction(label: str) -> None:
    """Apply the bidi rule (RFC 5893 section 2) to a label of a name with right-to-left text."""
    kinds = [unicodedata.bidirectional(char) for char in label]
    if not kinds:
        return
    ending = [kind for kind in kinds if kind != "NSM"][-1:]
    if kinds[0] in ("R", "AL"):
        allowed = {"R", "AL", "AN", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
        valid = ending[0] in ("R", "AL", "EN", "AN") and not {"EN", "AN"} <= set(kinds)
    else:
        allowed = {"L", "EN", "ES", "CS", "ET", "ON", "BN", "NSM"}
        valid = kinds[0] == "L" and ending[0] in ("L", "EN")
    if not valid or not set(kinds) <= allowed:
        raise ValueError(f"label of a host name mixes directions of writing: {label!r}")
