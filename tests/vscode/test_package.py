"""What is in the packaged extension, and what is not."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lsp.test_lifecycle import Wire, wire
from tests.support.vscode import packaged
from tests.vscode.client import CLIENT, manifest, node, tools

__all__ = ["wire"]

pytestmark = pytest.mark.timeout(600)
"""The first test that needs the package waits for it to be made."""

BUNDLE = 500_000
WINDOW = 150_000
"""What the window reads to activate, in bytes: little beside the language client, which waits until it is needed."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(packaged(tools(), tmp_path_factory.mktemp("package") / "kiro-lsp.vsix")) as opened:
        yield opened


def scripts(package: zipfile.ZipFile) -> dict[str, str]:
    return {
        name.rpartition("/")[2]: package.read(name).decode()
        for name in package.namelist()
        if name.startswith("extension/") and name.endswith(".js")
    }


def test_the_package_holds_these_files_and_no_other(package: zipfile.ZipFile) -> None:
    wheel = re.compile(r"extension/wheel/kiro_lsp-[\w.]+-py3-none-any\.whl")
    listed = sorted(name for name in package.namelist() if not wheel.fullmatch(name))
    media = [
        f"extension/media/{path.relative_to(CLIENT / 'media').as_posix()}" for path in (CLIENT / "media").rglob("*.*")
    ]
    assert listed == sorted(
        [
            "[Content_Types].xml",
            "extension.vsixmanifest",
            "extension/LICENSE.txt",
            "extension/ThirdPartyNotices.txt",
            "extension/dist/extension.js",
            "extension/dist/languageclient.js",
            "extension/dist/output.js",
            "extension/l10n/bundle.l10n.de.json",
            "extension/l10n/bundle.l10n.json",
            "extension/package.json",
            "extension/package.nls.de.json",
            "extension/package.nls.json",
            "extension/readme.md",
            "extension/wheel/wheel.json",
            *media,
        ]
    )
    assert len(package.namelist()) == len(listed) + 1, "one wheel"


def test_the_code_is_small(package: zipfile.ZipFile, record_property: pytest.RecordProperty) -> None:
    sizes = {name: len(text.encode()) for name, text in scripts(package).items()}
    record_property(
        "summary", "bytes of the extension's code: " + ", ".join(f"{n} {size:,}" for n, size in sizes.items())
    )
    assert sum(sizes.values()) < BUNDLE
    assert sizes["extension.js"] < WINDOW
    assert "vscode-languageclient" not in scripts(package)["extension.js"]


def test_nothing_of_the_machine_it_was_built_on_is_in_it(package: zipfile.ZipFile) -> None:
    for name, text in scripts(package).items():
        assert str(CLIENT.parent) not in text, name
        assert "sourceMappingURL" not in text, name
        assert not re.search(r"['\"`](?:/home/|/Users/|[A-Z]:\\\\)", text), name
    assert not [name for name in package.namelist() if "node_modules" in name or name.endswith(".map")]


def test_there_is_no_telemetry(package: zipfile.ZipFile) -> None:
    for name, text in scripts(package).items():
        # The language client can hand a server's telemetry/event on; ours sends none, and nobody listens.
        found = re.findall(
            r"createTelemetryLogger|isTelemetryEnabled|sendTelemetry\w*|applicationinsights|TelemetryReporter", text
        )
        assert found == [], name
    assert "onTelemetry" not in scripts(package)["extension.js"]


def test_the_window_can_make_no_request(package: zipfile.ZipFile) -> None:
    """What the extension itself is made of opens no connection; only the server does, after somebody asked for work."""
    window = scripts(package)["extension.js"]
    required = set(re.findall(r"require\(\"([^\"]+)\"\)", window))
    assert {"vscode", "./languageclient.js"} <= required
    assert (
        required & {"http", "https", "http2", "net", "tls", "dgram", "dns", "node:http", "node:https", "node:net"}
        == set()
    )
    assert not re.search(
        r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource)\(", window + scripts(package).get("output.js", "")
    )


def test_whose_code_is_in_it_is_said() -> None:
    done = node("esbuild.mjs", "--inputs")
    bundled = set(re.findall(r"node_modules/((?:@[\w-]+/)?[\w.-]+)/", done.stdout))
    assert bundled, done.stdout + done.stderr
    notices = (CLIENT / "ThirdPartyNotices.txt").read_text("utf-8")
    assert bundled == set(re.findall(r"^  ([\w@/.-]+)$", notices, re.MULTILINE))
    # .ci/audit asks about `dependencies`; what is bundled has to be among them, and is locked without a registry's address.
    lock = json.loads((CLIENT / "package-lock.json").read_text("utf-8"))["packages"]
    shipped = {name.rpartition("node_modules/")[2] for name, entry in lock.items() if name and not entry.get("dev")}
    assert bundled <= shipped
    assert set(manifest()["dependencies"]) <= bundled
    assert not [name for name, entry in lock.items() if "resolved" in entry]


def test_the_language_client_has_everything_that_the_server_offers(wire: Wire, tmp_path: Path) -> None:
    """`WITHOUT` of esbuild.mjs leaves out features of it; none of them may be one that the server has."""
    names = re.search(r"const WITHOUT = \[(.*?)\];", (CLIENT / "esbuild.mjs").read_text("utf-8"), re.DOTALL)
    assert names is not None
    without = set(re.findall(r"'(\w+)'", names[1]))
    assert {"callHierarchy", "inlineValue"} <= without
    answer = wire.ask("initialize", {"processId": None, "rootUri": tmp_path.as_uri(), "capabilities": {}}, 0)
    offered = {name.removesuffix("Provider") for name in answer["result"]["capabilities"]}
    assert {"codeLens", "hover", "definition"} <= offered
    known = {path.stem for path in (CLIENT / "node_modules/vscode-languageclient/lib/common").glob("*.js")}
    assert without <= known, "the language client has other files now"
    odd = {"color": "colorProvider"}
    assert {odd.get(name, name) for name in offered} & without == set()
    workspace = answer["result"]["capabilities"].get("workspace", {})
    assert "fileOperations" not in workspace
