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
    """A variable with our prefix that is no setting, and the setting that was perhaps meant."""

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
    """Find the variables that carry the prefix and are no setting; values are not shown."""
    names = tuple(known)
    for name in sorted(name for name in environment if name.startswith(prefix)):
        is_link = _SERVICE_LINK.fullmatch(name) or _SERVICE_ADDRESS.match(environment[name])
        if name not in names and not is_link:
            yield UnknownVariable(name, _closest(name, names, prefix))


def _closest(name: str, known: Iterable[str], prefix: str) -> str | None:
    """Compare without the prefix: it would make any two names alike."""
    bare = {one.removeprefix(prefix): one for one in known}
    for match in get_close_matches(name.removeprefix(prefix), bare, 1, 0.75):
        return bare[match]
    return None


def _fit(text: str) -> str:
    """Shorten a value and leave out what may be the password of a URL in the wrong variable."""
    text = _CREDENTIALS.sub("://***@", text)
    return text if len(text) <= _LONGEST_SHOWN_CHARS else f"{text[:_LONGEST_SHOWN_CHARS]}..."
