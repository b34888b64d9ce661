import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FaultKind, faultIn } from '../src/model/faults';

/** What installers really print, shortened. */
const PRINTED: readonly (readonly [FaultKind, string, string])[] = [
  [
    'offline',
    'pypi.org',
    "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(\"HTTPSConnection(host='pypi.org', port=443): Failed to establish a new connection: [Errno -3] Temporary failure in name resolution\")': /simple/pygls/\nERROR: Could not find a version that satisfies the requirement pygls\nERROR: No matching distribution found for pygls\n",
  ],
  [
    'offline',
    'pypi.org',
    'error: Failed to fetch: `https://pypi.org/simple/pygls/`\n  Caused by: Request failed after 3 retries\n  Caused by: error sending request for url\n  Caused by: dns error: failed to lookup address information',
  ],
  [
    'proxy',
    'pypi.org',
    "WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy Authentication Required'))': HTTPSConnectionPool(host='pypi.org', port=443)\nERROR: No matching distribution found for pygls",
  ],
  [
    'certificate',
    'pypi.org',
    "Could not fetch URL https://pypi.org/simple/pygls/: There was a problem confirming the ssl certificate: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain')))\nERROR: No matching distribution found for pygls",
  ],
  ['certificate', 'mirror.example', 'error: https://mirror.example/simple/\n  invalid peer certificate: UnknownIssuer'],
  [
    'login',
    'mirror.example',
    'ERROR: HTTP error 401 while getting https://u:p@mirror.example/x.whl\n401 Client Error: Unauthorized',
  ],
  ['lacking', 'orjson>=3.11', 'Looking in links: /wheels\nERROR: No matching distribution found for orjson>=3.11\n'],
  ['space', 'OSError: [Errno 28] No space left on device', 'x\nOSError: [Errno 28] No space left on device'],
  [
    'venv',
    'apt install python3.11-venv',
    'The virtual environment was not created successfully because ensurepip is not available.\n    apt install python3.11-venv\n',
  ],
  [
    'rights',
    "PermissionError: [Errno 13] Permission denied: '/x'",
    "PermissionError: [Errno 13] Permission denied: '/x'",
  ],
  ['other', 'something else', 'a\nsomething else\n\n[notice] A new release of pip is available\n'],
  ['other', '', ''],
];

describe('why an installation failed', () => {
  for (const [kind, what, output] of PRINTED)
    it(`${kind}: ${what}`, () => assert.deepEqual(faultIn(output), { kind, what }));
});
