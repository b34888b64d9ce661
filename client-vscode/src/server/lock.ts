import { open, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';

const LOOK_MS = 200;
const BEAT_MS = 2_000;
/** On another host nobody can see whether a process lives; there, and against reused ids, the heartbeat decides. */
const SILENT_MS = 60_000;
/** A machine that wakes up finds every heartbeat old: whoever holds the lock has this long to show itself. */
const GRACE_MS = 5_000;

interface Holder {
  host: string;
  /** The window, and the installer that it started, which outlives a window that crashes. */
  processes: number[];
}

/** What who holds the lock can do with it. */
export interface Held {
  /** Counts a process as a holder for as long as it lives. */
  share(process: number): Promise<void>;
}

/**
 * Does something that only one window at a time may do. The lock is a file; one that a dead window left is taken over.
 * @param path the lock's file; its folder must be there
 * @param settled looked at while another window works; anything but `undefined` ends the wait and is the result
 * @throws what `work` and `settled` throw, and the signal's reason
 */
export async function alone<T>(
  path: string,
  work: (held: Held) => Promise<T>,
  settled: () => Promise<T | undefined>,
  signal: AbortSignal,
): Promise<T> {
  let silent: { stamp: string; since: number } | undefined;
  for (;;) {
    signal.throwIfAborted();
    const done = await settled();
    if (done !== undefined) return done;
    // Between the look and the lock another window may have finished.
    if (await taken(path)) return await holding(path, async (held) => (await settled()) ?? (await work(held)));
    const stamp = await stale(path);
    if (stamp === undefined) silent = undefined;
    else if (silent?.stamp !== stamp.text) silent = { stamp: stamp.text, since: performance.now() };
    if (stamp && silent && (stamp.dead || performance.now() - silent.since > GRACE_MS)) await broken(path, stamp.text);
    else await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function taken(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(written([process.pid]));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function written(processes: number[]): string {
  // The time tells two locks of the same window apart.
  return JSON.stringify({ host: hostname(), processes, at: Date.now() } satisfies Holder & { at: number });
}

async function holding<T>(path: string, work: (held: Held) => Promise<T>): Promise<T> {
  const processes = [process.pid];
  let own = await readFile(path, 'utf-8');
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined); // gone with the storage: the work itself will fail
  }, BEAT_MS);
  try {
    return await work({
      share: async (other) => {
        processes.push(other);
        own = written(processes);
        await writeFile(`${path}.new`, own);
        await rename(`${path}.new`, path);
      },
    });
  } finally {
    clearInterval(beat);
    if ((await readFile(path, 'utf-8').catch(() => '')) === own) await rm(path, { force: true });
  }
}

/** What stands in a lock that nobody seems to hold any more; `dead` where that is certain. */
async function stale(path: string): Promise<{ text: string; dead: boolean } | undefined> {
  try {
    const [text, { mtimeMs }] = [await readFile(path, 'utf-8'), await stat(path)];
    const silent = Date.now() - mtimeMs > SILENT_MS;
    const holder = parsed(text);
    const dead = holder?.host === hostname() && !holder.processes.some(lives);
    return dead || silent ? { text, dead } : undefined;
  } catch {
    return undefined; // let go of in this moment
  }
}

function parsed(text: string): Holder | undefined {
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return undefined; // being written
  }
}

export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes a stale lock, and only that: of several windows one gets to do it. */
async function broken(path: string, text: string): Promise<void> {
  const breaker = `${path}.${Buffer.from(text).toString('base64url').slice(-40)}`;
  try {
    await (await open(breaker, 'wx')).close();
  } catch {
    return; // another window does
  }
  try {
    if ((await readFile(path, 'utf-8')) === text) await rm(path, { force: true });
  } catch {
    // let go of in this moment
  }
  await rm(breaker, { force: true });
}
