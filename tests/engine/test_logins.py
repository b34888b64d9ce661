"""The person's own login of an agent, in the sandbox: renewed at a local sign-in server, kept in the person's home, guarded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kiro_lsp import events
from tests.engine.test_hostile import bench
from tests.sandbox.conftest import LEVELS
from tests.support import fake_agent

each_level = pytest.mark.parametrize("level", LEVELS)

WORKS = """
import urllib.request, urllib.error
home = os.path.expanduser('~/.fake')
port = open(home + '/port').read()
def post(path, value):
    asked = urllib.request.Request(f'http://127.0.0.1:{port}{path}', json.dumps(value).encode())
    return json.load(urllib.request.urlopen(asked, timeout=20))
try:
    token = json.load(open(home + '/token.json'))
    try:
        answer = post('/answer', token)
    except urllib.error.HTTPError:
        token = post('/renew', token)
        with open(home + '/token.json.new', 'w') as file: json.dump(token, file)
        os.replace(home + '/token.json.new', home + '/token.json')
        answer = post('/answer', token)
except (OSError, urllib.error.URLError) as error:
    end(f'Not logged in ({error}). Please run /login', is_error=True)
open('answer.txt', 'w').write(answer['text'])
"""


class SignIn:
    """A provider that takes the newest access token only, and one that renews it once for each refresh token."""

    def __init__(self) -> None:
        self.access, self.refresh, self.renewed = "new", "r-1", 0
        sign_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                given = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, said = sign_in.answer(self.path, given)
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    def answer(self, path: str, given: dict[str, str]) -> tuple[int, dict[str, str]]:
        if path == "/answer":
            return (200, {"text": "hello"}) if given["access"] == self.access else (401, {})
        if given["refresh"] != self.refresh:
            return 401, {}
        self.renewed += 1
        self.refresh = f"r-{self.renewed + 1}"
        return 200, {"access": self.access, "refresh": self.refresh}


@pytest.fixture
def sign_in() -> Iterator[SignIn]:
    made = SignIn()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def configured(sign_in: SignIn) -> str:
    place = f'hosts = ["127.0.0.1:{sign_in.server.server_port}"]\nhomes = ["~/.fake"]\n'
    guards = 'guarded = ["~/.fake/settings.json", "~/.fake/hooks"]\n'
    return fake_agent.CONFIG.replace('network = "none"', 'network = "hosts"') + place + guards


def logged_in(home: Path, sign_in: SignIn, token: dict[str, str]) -> Path:
    folder = home / ".fake"
    folder.mkdir(parents=True)
    (folder / "port").write_text(str(sign_in.server.server_port))
    (folder / "settings.json").write_text("{}")
    (folder / "token.json").write_text(json.dumps(token))
    return folder / "token.json"


@each_level
async def test_an_expired_login_is_renewed_once_and_the_next_run_finds_it(
    level: str, sign_in: SignIn, tmp_path: Path
) -> None:
    token = logged_in(tmp_path / "home", sign_in, {"access": "old", "refresh": "r-1"})
    async with bench(tmp_path, level, WORKS, configured(sign_in)) as here:
        for _ in range(2):
            run_id = await here.start()
            assert (await here.ended(run_id)).state == "review"
            here.isolated(run_id)
            assert here.engine.review(run_id).proposed("answer.txt") == b"hello"
            await here.engine.reject(run_id, by="somebody")
    assert sign_in.renewed == 1
    assert json.loads(token.read_text()) == {"access": "new", "refresh": "r-2"}


@each_level
async def test_a_login_that_cannot_be_renewed_ends_the_run_with_the_command_that_logs_in(
    level: str, sign_in: SignIn, tmp_path: Path
) -> None:
    logged_in(tmp_path / "home", sign_in, {"access": "old", "refresh": "revoked"})
    async with bench(tmp_path, level, WORKS, configured(sign_in)) as here:
        run_id = await here.start()
        assert (await here.ended(run_id)).state == "failed"
        (error,) = here.happened(run_id, events.Error)
        assert isinstance(error, events.Error)
        assert (error.kind, "`fake-agent login`" in error.hint) == ("auth", True)


GUARDED = [
    "open(home + '/settings.json', 'w').write('evil')",
    "os.replace(home + '/token.json', home + '/settings.json')",
    "os.mkdir(home + '/hooks'); open(home + '/hooks/start', 'w').write('evil')",
]


@each_level
@pytest.mark.parametrize("number", range(len(GUARDED)))
async def test_what_makes_programs_run_in_that_folder_cannot_be_changed_without_notice(
    level: str, number: int, sign_in: SignIn, tmp_path: Path
) -> None:
    token = logged_in(tmp_path / "home", sign_in, {"access": "new", "refresh": "r-1"})
    body = f"{WORKS}\ntry:\n    {GUARDED[number]}\nexcept OSError as error:\n    print('no:', error)"
    async with bench(tmp_path, level, body, configured(sign_in)) as here:
        run_id = await here.start()
        record = await here.ended(run_id)
        here.isolated(run_id)
        settings = token.with_name("settings.json")
        if "bubblewrap" in LEVELS[level] and number < 2:
            assert (record.state, settings.read_text()) == ("review", "{}")
            return
        assert record.state == "failed"
        (error,) = here.happened(run_id, events.Error)
        assert isinstance(error, events.Error)
        assert ("hooks/start was created" if number == 2 else "settings.json was changed") in error.message
        assert here.engine.review(run_id).changes.files == ()
