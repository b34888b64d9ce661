"""From a raw value of a layer to the value of its setting, or to a sentence that says why not."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from kiro_lsp.settings.definitions import Definition, Kind
from kiro_lsp.settings.secret import Secret


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a value cannot be used. `code` is "setting-type" or "setting-range"."""

    code: str
    message: str


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")
_SHELL = re.compile(r"&&|\|\||[|;<>&]|\$\(|`")
_ITEMS_AT_MOST = 500
_LINES_ALLOWED: frozenset[Kind] = frozenset({"text-list", "text-map", "argv", "argv-list"})
_WORDS: dict[Kind, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "money": "an amount in US dollars",
    "text": "a text",
    "choice": "a text",
    "argv": "an argument list or one line",
    "argv-list": "a list of commands",
    "text-list": "a list of texts",
    "text-map": "a table of texts",
    "url": "an address",
    "variable": "the name of an environment variable",
    "secret": "a text",
}


def coerce(definition: Definition, raw: object) -> object | Wrong:
    """The value of a setting from what TOML or JSON gave, or Wrong."""
    return _COERCERS[definition.kind](definition, raw)


def coerce_text(definition: Definition, raw: str) -> object | Wrong:
    """The same from the text of an environment variable."""
    if definition.kind == "bool":
        word = raw.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        return False if word in ("0", "false", "no", "off") else _type(definition, raw)
    if definition.kind in ("int", "money"):
        try:
            number = Decimal(raw.strip())
        except InvalidOperation:
            return _type(definition, raw)
        return coerce(definition, int(number) if definition.kind == "int" and number == int(number) else number)
    return coerce(definition, raw.strip())


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine, without asking a name server."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int] | None:
    """(scheme, host, port) of an absolute http or https URL without user information, else None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname.lower().rstrip("."), port or (443 if parts.scheme == "https" else 80)


def server_address(address: str, port: int) -> str:
    """The base URL that a server's address means, also one that lacks a scheme or a port, or names every interface."""
    url = address.strip().rstrip("/")
    url = url if "://" in url else f"http://{url}"
    where = origin(url)
    if where is not None and where[1] == "0.0.0.0":  # noqa: S104  # what a server listens on is no address to ask
        url = url.replace("0.0.0.0", "127.0.0.1", 1)  # noqa: S104
    lacks_port = re.fullmatch(r"http://[^/]*[^/:\d][^/:]*|http://\d+(\.\d+){3}|http://\[[^\]]*\]", url)
    return f"{url}:{port}" if lacks_port else url


def _type(definition: Definition, raw: object) -> Wrong:
    found = {bool: "a truth value", int: "a number", float: "a number", Decimal: "a number", str: "a text"}
    what = found.get(
        type(raw), "a table" if isinstance(raw, Mapping) else "a list" if isinstance(raw, list) else "that"
    )
    return Wrong("setting-type", f"{definition.key} must be {_WORDS[definition.kind]}, not {what}")


def _bool(definition: Definition, raw: object) -> object | Wrong:
    return raw if isinstance(raw, bool) else _type(definition, raw)


def _in_range(definition: Definition, value: int | Decimal) -> object | Wrong:
    low, high = definition.minimum, definition.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return Wrong("setting-range", f"{definition.key} must be between {low} and {high}, not {value}")
    return value


def _int(definition: Definition, raw: object) -> object | Wrong:
    if isinstance(raw, bool) or not isinstance(raw, int):
        return _type(definition, raw)
    return _in_range(definition, raw)


def _money(definition: Definition, raw: object) -> object | Wrong:
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        return _type(definition, raw)
    value = Decimal(str(raw))
    if not value.is_finite():
        return Wrong("setting-range", f"{definition.key} must be a finite amount")
    return _in_range(definition, value)


def _text(definition: Definition, raw: object) -> object | Wrong:
    if not isinstance(raw, str):
        return _type(definition, raw)
    if len(raw) > (definition.maximum or 4096):
        return Wrong("setting-range", f"{definition.key} is longer than {definition.maximum} characters")
    if len(raw.strip()) < (definition.minimum or 0):
        return Wrong("setting-range", f"{definition.key} must not be empty")
    if _CONTROL.search(raw) or (definition.kind not in _LINES_ALLOWED and ("\n" in raw or "\t" in raw)):
        return Wrong("setting-range", f"{definition.key} holds control characters")
    return raw


def _choice(definition: Definition, raw: object) -> object | Wrong:
    if not isinstance(raw, str):
        return _type(definition, raw)
    if raw not in definition.choices:
        known = ", ".join(f'"{choice}"' for choice in definition.choices)
        return Wrong("setting-range", f"{definition.key} must be one of {known}, not {raw[:80]!r}")
    return raw


def _variable(definition: Definition, raw: object) -> object | Wrong:
    text = _text(definition, raw)
    if isinstance(text, str) and not _VARIABLE.fullmatch(text):
        # The value is not repeated: people paste the key itself here.
        return Wrong(
            "setting-range", f"{definition.key} must be the name of an environment variable, not the key itself"
        )
    return text


def _url(definition: Definition, raw: object) -> object | Wrong:
    text = _text(definition, raw)
    if isinstance(text, str):
        where = origin(text)
        if where is None:
            return Wrong("setting-range", f"{definition.key} must be an http or https address without a user name")
        if where[0] == "http" and not is_loopback(where[1]) and _is_public(where[1]):
            return Wrong("setting-range", f"{definition.key} must use https: {where[1]} is not in your own network")
    return text


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".lan", ".internal", ".home.arpa"))


def _argv(definition: Definition, raw: object) -> object | Wrong:
    if isinstance(raw, str):
        if _SHELL.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", raw)):
            return Wrong("setting-range", f"{definition.key} runs without a shell: no |, ;, &, <, > or $( )")
        try:
            raw = shlex.split(raw)
        except ValueError as error:
            return Wrong("setting-range", f"{definition.key}: {error}")
    return _texts(definition, raw)


def _texts(definition: Definition, raw: object) -> object | Wrong:
    if not isinstance(raw, list) or len(raw) > _ITEMS_AT_MOST:
        return _type(definition, raw)
    found = []
    for item in raw:
        text = _text(definition, item)
        if isinstance(text, Wrong):
            return text
        found.append(text)
    return tuple(found)


def _argv_list(definition: Definition, raw: object) -> object | Wrong:
    if not isinstance(raw, list) or len(raw) > _ITEMS_AT_MOST:
        return _type(definition, raw)
    found = []
    for item in raw:
        argv = _argv(definition, item)
        if isinstance(argv, Wrong):
            return argv
        if argv:
            found.append(argv)
    return tuple(found)


def _text_map(definition: Definition, raw: object) -> object | Wrong:
    if not isinstance(raw, Mapping) or len(raw) > _ITEMS_AT_MOST:
        return _type(definition, raw)
    found: dict[str, str] = {}
    for name, item in raw.items():
        text = _text(definition, item)
        if isinstance(text, Wrong):
            return text
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            return Wrong("setting-range", f"{definition.key}: {str(name)[:80]!r} is not the name of a variable")
        found[name] = str(text)
    return MappingProxyType(found)


def _secret(definition: Definition, raw: object) -> object | Wrong:
    text = _text(definition, raw)
    return Secret(text.strip()) if isinstance(text, str) else text


_COERCERS: dict[Kind, Callable[[Definition, Any], object | Wrong]] = {
    "bool": _bool,
    "int": _int,
    "money": _money,
    "text": _text,
    "choice": _choice,
    "argv": _argv,
    "argv-list": _argv_list,
    "text-list": _texts,
    "text-map": _text_map,
    "url": _url,
    "variable": _variable,
    "secret": _secret,
}
