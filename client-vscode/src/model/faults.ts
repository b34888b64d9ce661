/** Why an installation failed, read from what the installer printed. */

export type FaultKind =
  | 'python' /** there is no Python that is new enough */
  | 'venv' /** the Python that was found cannot make environments */
  | 'proxy'
  | 'certificate'
  | 'login' /** the package index wants a name and a password */
  | 'offline'
  | 'lacking' /** the index does not have a package */
  | 'space'
  | 'rights'
  | 'stopped'
  | 'other';

export interface Fault {
  kind: FaultKind;
  /** The host that was not reached, the package that is not there, or the last line that was printed. */
  what: string;
}

/** Tried in this order: a proxy that fails also looks like a connection that fails. */
const SIGNS: readonly (readonly [FaultKind, RegExp])[] = [
  ['venv', /ensurepip is not available|No module named '?(?:venv|ensurepip|pip)\b/i],
  ['proxy', /ProxyError|Cannot connect to proxy|407 Proxy|Tunnel connection failed|proxy (?:connect|authentication)/i],
  [
    'certificate',
    /CERTIFICATE_VERIFY_FAILED|SSLError|invalid peer certificate|certificate verify failed|self.signed cert/i,
  ],
  ['login', /\b(?:401|403) (?:Client )?(?:Error|Unauthorized|Forbidden)|status code 40[13]/i],
  ['space', /No space left|ENOSPC|not enough space|disk quota/i],
  ['rights', /EACCES|EPERM|Permission denied|Access is denied|os error 13\b/i],
  [
    'offline',
    /resolv|getaddrinfo|Name or service not known|unreachable|NewConnectionError|ConnectTimeout|Read timed out|Connection (?:refused|reset|aborted)|dns error|error sending request|tcp connect/i,
  ],
  [
    'lacking',
    /No matching distribution found for (\S+)|Because (\S+) was not found|not found in the package registry/i,
  ],
];

/** @param output what the installer printed, its errors included */
export function faultIn(output: string): Fault {
  for (const [kind, sign] of SIGNS) {
    const found = sign.exec(output);
    if (!found) continue;
    if (kind === 'lacking') return { kind, what: found[1] ?? found[2] ?? lastLine(output) };
    return { kind, what: hostIn(output) ?? lastLine(output) };
  }
  return { kind: 'other', what: lastLine(output) };
}

function hostIn(output: string): string | undefined {
  const found = /host='([^']+)'|https?:\/\/(?:[^\s/@]*@)?([\w.-]+)/.exec(output);
  return found?.[1] ?? found?.[2];
}

function lastLine(output: string): string {
  const lines = output.split(/\r?\n/).map((line) => line.trim());
  return (lines.findLast((line) => line !== '' && !line.startsWith('[notice]')) ?? '').slice(0, 300);
}
