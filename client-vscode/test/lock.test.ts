import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { alone } from '../src/server/lock';

const NEVER = new AbortController().signal;
const unsettled = (): Promise<undefined> => Promise.resolve(undefined);

let folder = '';
let lock = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'));
  lock = join(folder, 'a.lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The id of a process that has ended. */
function dead(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

/** A lock that somebody else made. */
function left(processes: number[], host = hostname()): void {
  writeFileSync(lock, JSON.stringify({ host, processes, at: 1 }));
}

describe('what one window does alone', () => {
  it('is done by one after the other, and leaves nothing', async () => {
    let inside = 0;
    const work = async (): Promise<number> => {
      assert.equal(++inside, 1, 'nobody else is in here');
      await new Promise((resolve) => setImmediate(resolve));
      return inside--;
    };
    const done = await Promise.all(Array.from({ length: 5 }, () => alone(lock, work, unsettled, NEVER)));
    assert.deepEqual(done, [1, 1, 1, 1, 1]);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('is not done again by those who waited for it', async () => {
    let result: string | undefined;
    let times = 0;
    const work = (): Promise<string> => Promise.resolve((times++, (result = 'done')));
    const settled = (): Promise<string | undefined> => Promise.resolve(result);
    const done = await Promise.all(Array.from({ length: 5 }, () => alone(lock, work, settled, NEVER)));
    assert.deepEqual([...new Set(done)], ['done']);
    assert.equal(times, 1);
  });

  it('counts the installer among those who hold it', async () => {
    await alone(
      lock,
      async (held) => {
        await held.share(4711);
        const { processes } = JSON.parse(readFileSync(lock, 'utf-8')) as { processes: number[] };
        assert.deepEqual(processes, [process.pid, 4711]);
      },
      unsettled,
      NEVER,
    );
    assert.ok(!existsSync(lock));
  });

  it('is let go of when it fails', async () => {
    await assert.rejects(
      alone(lock, () => Promise.reject(new Error('no')), unsettled, NEVER),
      /no/,
    );
    assert.ok(!existsSync(lock));
  });
});

describe('what a window left', () => {
  it('goes on after a window that died, once, whoever comes', async () => {
    left([dead()]);
    let times = 0;
    const work = (): Promise<number> => Promise.resolve(++times);
    const done = await Promise.all(Array.from({ length: 5 }, () => alone(lock, work, unsettled, NEVER)));
    assert.deepEqual(done.sort(), [1, 2, 3, 4, 5]);
    assert.ok(!existsSync(lock));
  });

  it('waits for an installer that outlives its window', async () => {
    left([dead(), process.pid]);
    const ending = new AbortController();
    const waiting = alone(lock, () => assert.fail('it is held'), unsettled, ending.signal);
    const looked = alone(
      lock,
      () => assert.fail('it is held'),
      () => Promise.resolve('seen'),
      NEVER,
    );
    assert.equal(await looked, 'seen');
    ending.abort(new Error('the window closes'));
    await assert.rejects(waiting, /the window closes/);
    assert.ok(existsSync(lock));
  });

  it('is taken over from another host only after its heartbeat has stopped', { timeout: 60_000 }, async () => {
    left([1], 'elsewhere');
    const hourAgo = new Date(Date.now() - 3_600_000);
    utimesSync(lock, hourAgo, hourAgo);
    assert.equal(await alone(lock, () => Promise.resolve('mine'), unsettled, NEVER), 'mine');
  });
});
