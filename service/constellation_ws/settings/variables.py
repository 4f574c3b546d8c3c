"""What is wrong with an environment variable, in words that show no secret; and typos in names.

Pure, and the same for every setting: which settings there are is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from constellation_ws.http.origins import BadOrigin
from constellation_ws.redis_io.address import InvalidAddress
from constellation_ws.settings.kinds import is_secret, kind

NOT_SHOWN = "(set, not shown)"
_LONGEST_SHOWN_CHARS = 100
_CREDENTIALS = re.compile(r"://.*@", re.DOTALL)
# Kubernetes sets these in every pod for each Service of the namespace, unless it is switched off.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_.+)?)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable that looks like a setting and is none, and the setting that was perhaps meant."""

    name: str
    closest: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.closest}?" if self.closest else ""
        return f"{self.name} is not a setting and has no effect{hint}"


def explain(fault: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """Put a fault in one line: the variable, what it holds, what it takes."""
    name = str(fault["loc"][0]) if fault["loc"] else ""
    if name not in fields:
        return fault["msg"].removeprefix("Value error, ")
    holds = _reason(fault) if is_secret(fields[name]) else repr(_fit(str(fault["input"])))
    line = f"{name} is {holds}; it must be {kind(fields[name])}"
    if isinstance(error := fault.get("ctx", {}).get("error"), BadOrigin):
        line += f". {error}"
    if _SERVICE_ADDRESS.match(str(fault["input"])):
        line += (
            ". Kubernetes sets it for a Service of that name: set a value, or set "
            "`enableServiceLinks: false` on the pod"
        )
    return line


def _reason(fault: ErrorDetails) -> str:
    """Say what is wrong with a value that is not shown, where the words are known to be safe."""
    error = fault.get("ctx", {}).get("error")
    return f"{NOT_SHOWN}: {error}" if isinstance(error, InvalidAddress) else NOT_SHOWN


def show(value: object) -> str:
    """Write a setting's value as the environment would hold it, secrets left out."""
    if isinstance(value, SecretStr):
        return NOT_SHOWN if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return "" if value is None else str(value)


def find_unknown(
    environment: Mapping[str, str], prefix: str, known: Iterable[str]
) -> Iterator[UnknownVariable]:
    """Find the variables that carry the prefix and are no setting; values are not shown.

    Also those whose prefix has a typo itself. These may be another program's, so the rest has to be
    much like a setting.
    """
    names = tuple(known)
    for name in sorted(environment):
        if name in names or _SERVICE_LINK.fullmatch(name):
            continue
        if _SERVICE_ADDRESS.match(environment[name]):
            continue
        if name.startswith(prefix):
            yield UnknownVariable(name, _closest(name.removeprefix(prefix), names, prefix, 0.75))
        elif closest := _misspelled(name, names, prefix):
            yield UnknownVariable(name, closest)


def _misspelled(name: str, known: Iterable[str], prefix: str) -> str | None:
    """Return the setting that was meant by a name with a typo in the prefix; None if it has none.

    Case is no typo: settings are read in any.
    """
    word, _, rest = name.upper().partition("_")
    meant = prefix.removesuffix("_")
    if word == meant or not get_close_matches(word, [meant], 1, 0.85):
        return None
    if word.startswith(meant):  # it may be the underscore that is missing
        joined = _closest(name.upper().removeprefix(meant), known, prefix, 0.8)
        return joined or _closest(rest, known, prefix, 0.8)
    return _closest(rest, known, prefix, 0.8)


def _closest(rest: str, known: Iterable[str], prefix: str, cutoff: float) -> str | None:
    """Compare without the prefix: it would make any two names alike."""
    bare = {one.removeprefix(prefix): one for one in known}
    for match in get_close_matches(rest, bare, 1, cutoff):
        return bare[match]
    return None


def _fit(text: str) -> str:
    """Shorten a value and leave out what may be the password of a URL in the wrong variable."""
    text = _CREDENTIALS.sub("://***@", text)
    return text if len(text) <= _LONGEST_SHOWN_CHARS else f"{text[:_LONGEST_SHOWN_CHARS]}..."
