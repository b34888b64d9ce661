"""Secrets cannot be printed, keys go only where they belong, and the redactor finds every form of a value."""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import shlex
import urllib.parse
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.settings import AgentSettings, Secret, Secrets, Sources, load_settings
from kiro_lsp.settings.redact import MARK, Redactor, forms, is_secret, looks_like_key
from tests.support import planted

VALUE = "s3cr3t/Va+lue=&\"é<'" + "x" * 8


def test_every_way_to_print_a_secret_shows_nothing() -> None:
    secret = Secret(VALUE)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret}",
        f"{[secret]}",
        f"{ {1: secret} }",
    ]
    assert not any(VALUE[:6] in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
    assert secret.reveal() == VALUE
    assert secret == Secret(VALUE) != Secret("other")
    assert not hasattr(secret, "__dict__")


def test_loaded_settings_print_no_secret() -> None:
    loaded = load_settings(
        Sources(
            user_toml=f"[agents.a]\napi_key = '{VALUE.replace(chr(39), '')}'\n",
            environ={"ANTHROPIC_API_KEY": VALUE},
            dotenv=f"OPENAI_API_KEY={VALUE}\n",
        ),
        trusted=True,
    )
    assert VALUE[:6] not in repr(loaded)
    assert VALUE[:6] not in str(loaded.secrets)


def test_a_key_is_looked_for_in_the_environment_then_in_the_dotenv() -> None:
    secrets = Secrets(environ={"A": "1", "OPENAI_API_KEY": " "}, dotenv={"OPENAI_API_KEY": "two", "OTHER": "x"})
    assert secrets.lookup("A")[0] == Secret("1")
    found, looked = secrets.lookup("OPENAI_API_KEY")
    assert found == Secret("two")
    assert looked == ("environment variable OPENAI_API_KEY", "OPENAI_API_KEY in the project's .env")
    assert secrets.lookup("OTHER") == (None, ("environment variable OTHER",)), "no name off the list"
    missing, looked = Secrets().lookup("ANTHROPIC_API_KEY")
    assert missing is None
    assert "not trusted" in looked[1]


CLAUDE = AgentSettings(name="claude", type="anthropic-api")
BOTH = Secrets(environ={"ANTHROPIC_API_KEY": "ant-key", "AWS_SECRET": "aws-key", "OPENAI_API_KEY": "oai-key"})


@pytest.mark.parametrize(
    ("endpoint", "origin", "allowed"),
    [
        (None, None, True),
        ("https://api.anthropic.com", "project", True),
        ("https://api.anthropic.com".replace("anthropic", "ANTHROPIC") + "./v1", "project", True),
        ("https://api.anthropic.com:443", "project", True),
        ("https://api.anthropic.com:8443", "project", False),
        ("https://api.anthropic.com.evil.example", "project", False),
        ("https://evil.example/api.anthropic.com", "project", False),
        ("https://api.anthropic.com@evil.example", "project", False),
        ("https://api-anthropic.example", "client", False),
        ("http://api.anthropic.com", "user", False),
        ("https://gateway.example", "user", True),
        ("https://gateway.example", "project", False),
        ("http://gateway.example", "user", False),
        ("http://localhost:8080", "project", True),
        ("http://127.0.0.1:8080", "project", True),
        ("http://[::1]:8080", "project", True),
        ("http://127.0.0.1.evil.example", "project", False),
        ("https://localhost.evil.example", "project", False),
        ("https://xn--nthropic-7ib.example", "project", False),
    ],
)
def test_a_key_goes_only_to_hosts_that_it_is_bound_to(endpoint: str | None, origin: str | None, allowed: bool) -> None:
    origins = {"endpoint": origin} if origin else {}
    agent = replace(CLAUDE, endpoint=endpoint, origins=origins)  # type: ignore[arg-type]
    lookup = BOTH.for_agent(agent)
    assert (lookup.secret is not None) is allowed
    assert (lookup.refused is None) is allowed
    assert lookup.name == "ANTHROPIC_API_KEY"


def test_an_address_from_the_environment_is_the_persons_own() -> None:
    assert BOTH.for_agent(CLAUDE, "https://gateway.example").secret == Secret("ant-key")
    assert BOTH.for_agent(CLAUDE, "http://gateway.example").secret is None
    built_in = replace(CLAUDE, endpoint="https://api.anthropic.com")
    assert BOTH.for_agent(built_in, "http://gateway.example").secret is None, "the environment moves a built-in address"


def test_a_project_cannot_name_any_variable_and_have_it_sent_to_its_own_host() -> None:
    agent = replace(
        CLAUDE,
        api_key_env="AWS_SECRET",
        endpoint="https://evil.example",
        origins={"api_key_env": "project", "endpoint": "project"},
    )
    assert BOTH.for_agent(agent).secret is None
    other = replace(CLAUDE, api_key_env="OPENAI_API_KEY", origins={"api_key_env": "project"})
    lookup = BOTH.for_agent(other)
    assert lookup.secret is None
    assert lookup.refused is not None
    assert "another provider" in lookup.refused


def test_a_key_that_the_project_brought_may_go_to_its_host() -> None:
    agent = replace(CLAUDE, endpoint="https://gateway.example", origins={"endpoint": "project"})
    assert Secrets(dotenv={"ANTHROPIC_API_KEY": "theirs"}).for_agent(agent).secret == Secret("theirs")
    both = Secrets(environ={"ANTHROPIC_API_KEY": "mine"}, dotenv={"ANTHROPIC_API_KEY": "theirs"})
    assert both.for_agent(agent).secret is None


def test_a_missing_key_says_where_it_was_looked_for() -> None:
    lookup = Secrets().for_agent(AgentSettings(name="gemini", type="google-api"))
    assert lookup.secret is None
    assert lookup.refused is None
    assert [place for place in lookup.looked if place.startswith("environment")] == [
        "environment variable GOOGLE_API_KEY",
        "environment variable GEMINI_API_KEY",
    ]


def _encodings(value: str) -> dict[str, str]:
    data = value.encode()
    return {
        "raw": value,
        "hex": data.hex(),
        "HEX": data.hex().upper(),
        "url": urllib.parse.quote(value, safe=""),
        "form": urllib.parse.quote_plus(value),
        "html": html.escape(value),
        "json": json.dumps(value)[1:-1],
        "json unicode": json.dumps(value, ensure_ascii=False)[1:-1],
        "python": repr(value)[1:-1],
        "python in ASCII": ascii(value)[1:-1],
        "shell": shlex.quote(value)[1:-1],
        "shell, the other way": value.replace("'", "'\\''"),
        "json in json": json.dumps(json.dumps(value)[1:-1])[1:-1],
        **{f"base64 +{lead}": base64.b64encode(b"u" * lead + data + b"tail").decode() for lead in range(4)},
        **{f"base64url +{lead}": base64.urlsafe_b64encode(b"u" * lead + data).decode() for lead in range(3)},
    }


@pytest.mark.parametrize("name", _encodings(VALUE))
def test_every_printed_form_of_a_known_value_is_found(name: str) -> None:
    text = f"before {_encodings(VALUE)[name]} after"
    cleaned = Redactor([VALUE]).redact(text)
    assert MARK in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    for form in forms(VALUE):
        assert form not in cleaned


KEY_SHAPES = {
    "anthropic": "sk-" + "ant-" + "api03-" + "aB3_-" * 10,
    "openai": "sk-" + "proj-" + "aB3" * 12,
    "openai old": "sk-" + "aB3d" * 12,
    "google": "AI" + "za" + "aB3_-" * 7,
    "google oauth": "ya" + "29." + "aB3_-" * 8,
    "github": "gh" + "p_" + "aB3d" * 9,
    "github fine": "github" + "_pat_" + "aB3d" * 12,
    "gitlab": "gl" + "pat-" + "aB3d_" * 4,
    "slack": "xo" + "xb-" + "123456789-abcdef",
    "aws": "AK" + "IA" + "ABCDEFGHIJKLMNOP",
    "npm": "np" + "m_" + "aB3d" * 9,
    "pypi": "py" + "pi-" + "aB3d_" * 10,
    "hugging face": "h" + "f_" + "aB3d" * 9,
    "stripe": "sk" + "_live_" + "aB3d" * 6,
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjMifQ." + "SflKxwRJSMeKKF",
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----\nabc\ndef\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("name", KEY_SHAPES)
def test_a_key_is_known_by_its_shape(name: str) -> None:
    key = KEY_SHAPES[name]
    assert looks_like_key(key)
    assert Redactor().redact(f'x = "{key}";') == f'x = "{MARK}";'


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Authorization: Bearer quiet-winter-morning-7", f"Authorization: Bearer {MARK}"),
        ('{"x-api-key": "quiet-winter-morning-7"}', f'{{"x-api-key": "{MARK}"}}'),
        ("postgres://me:hunter22@db/x", f"postgres://me:{MARK}@db/x"),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text: str, cleaned: str) -> None:
    assert Redactor().redact(text) == cleaned
    assert Redactor().redact(cleaned) == cleaned, "idempotent"


@pytest.mark.parametrize(
    "text",
    [
        "risk-assessment of a task-runner and disk-usage",
        "https://example.com/a:b@c and git@github.com:a/b.git",
        "def authorization(self) -> None:",
        "commit 3b53807c0ffee0123456789abcdef0123456789a",
        "eyJust a word",
        "AIza is a prefix; sk-short is none",
        "authorization: required",
        "import { api_key } from './config'",
        "[redacted]",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor(["short", ""]).redact(text) == text


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=8, max_size=30),
    before=st.text(st.sampled_from("ab \n:s-k_A"), max_size=20),
    after=st.text(st.sampled_from("ab \n:s-k_A"), max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=8),
    form=st.sampled_from(["raw", "hex", "url", "json", "base64 +0", "base64 +1", "html"]),
)
def test_a_stream_in_any_pieces_shows_no_part_of_a_secret(
    secret: str, before: str, after: str, cuts: list[int], form: str
) -> None:
    redactor = Redactor([secret])
    text = before + _encodings(secret)[form] + after
    stream = redactor.stream()
    at, shown = 0, []
    for cut in sorted({min(cut, len(text)) for cut in cuts}):
        shown.append(stream.feed(text[at:cut]))
        at = cut
    shown.append(stream.feed(text[at:]))
    shown.append(stream.flush())
    joined = "".join(shown)
    for known in forms(secret):
        assert known not in joined.replace(MARK, "\0")
    assert MARK in joined


@pytest.mark.parametrize("name", KEY_SHAPES)
def test_a_key_that_arrives_letter_by_letter_is_not_shown(name: str) -> None:
    key = KEY_SHAPES[name]
    for size in (1, 2, 7, 19):
        stream = Redactor().stream()
        text = f"the key is {key} and no more"
        shown = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size)) + stream.flush()
        assert shown == f"the key is {MARK} and no more"


def test_a_stream_of_ordinary_text_is_not_held_back_for_long() -> None:
    stream = Redactor([VALUE]).stream()
    shown = "".join(stream.feed(word) for word in ["Reading ", "the ", "project", "'s files", ", then ", "editing. "])
    assert shown == "Reading the project's files, then editing. "


def test_a_stream_that_never_ends_its_run_is_not_kept_for_ever() -> None:
    stream = Redactor().stream()
    shown = sum(len(stream.feed("eyJ" + "a" * 5000)) for _ in range(20))
    assert shown > 50_000


@pytest.mark.parametrize(
    ("name", "value", "strict", "secret"),
    [
        ("GITHUB_TOKEN", "abcdefgh1", False, True),
        ("DB_PASSWORD", "correct horse", False, True),
        ("AWS_SECRET_ACCESS_KEY", "abcdefgh1", False, True),
        ("PATH", "/usr/bin:/bin", False, False),
        ("SSH_AUTH_SOCK", "/tmp/agent.1", False, False),
        ("NODE_ENV", "production", True, False),
        ("CUSTOM", "a8f7d6e5c4b3a291", True, True),
        ("CUSTOM", "a8f7d6e5c4b3a291", False, False),
        ("PASSWORD", "short", False, False),
        ("KEYBOARD", "qwertz-layout", False, False),
    ],
)
def test_secret_variables_are_told_from_others(name: str, value: str, strict: bool, secret: bool) -> None:
    assert is_secret(name, value, strict=strict) is secret


def test_the_redactor_of_a_project_knows_all_its_secrets() -> None:
    loaded = load_settings(
        Sources(
            user_toml="[agents.a]\napi_key = 'literal-key-1'\napi_key_env = 'ODD_NAME'\n",
            environ={"ODD_NAME": "odd-value-22", "GITHUB_TOKEN": "token-value-3", "LANG": "C.UTF-8-long"},
            dotenv="MY_THING=a8f7d6e5c4b3a291\nDATABASE_URL=postgres://u:pass4word@h/d\n",
        ),
        trusted=True,
    )
    redactor = loaded.secrets.redactor()
    for value in ("literal-key-1", "odd-value-22", "token-value-3", "a8f7d6e5c4b3a291", "pass4word"):
        assert redactor.redact(f"<{value}>") == f"<{MARK}>"
    assert redactor.redact("C.UTF-8-long") == "C.UTF-8-long"
    assert "literal" not in repr(redactor)
    assert redactor.redact_bytes(b"\xff odd-value-22 \xfe") == b"\xff " + MARK.encode() + b" \xfe"


def test_secrets_that_overlap_are_taken_out_the_same_way_in_every_process() -> None:
    values = [f"{letter * 4}same-{letter * 4}" for letter in "zyxwv"] + [
        f"same-{letter * 4}" + "-end" for letter in "zyxwv"
    ]
    for letter in "zyxwv":
        text = f"{letter * 4}same-{letter * 4}-end"
        assert len({Redactor(order).redact(text) for order in (values, values[::-1], sorted(values))}) == 1
        assert Redactor(values).redact(text) == f"{letter * 4}{MARK}"


@pytest.mark.parametrize(
    "printed",
    [
        repr(dict(planted.ENVIRON)),
        ascii(dict(planted.ENVIRON)),
        json.dumps(planted.ENVIRON),
        json.dumps(json.dumps(planted.ENVIRON)),
        urllib.parse.urlencode(planted.ENVIRON),
        "\n".join(f"export {name}={shlex.quote(value)}" for name, value in planted.ENVIRON.items()),
        base64.b64encode(json.dumps(planted.ENVIRON["SLACK_BOT_TOKEN"]).encode()).decode(),
    ],
)
def test_an_environment_that_a_program_prints_shows_none_of_its_keys(printed: str) -> None:
    assert planted.found_in(printed)
    assert planted.found_in(Secrets(environ=planted.ENVIRON).redactor().redact(printed)) == set()
