import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Endings } from '../src/model/endings';

/** An end that comes when it is told. */
function ends(): { ended: Promise<void>; end: () => void } {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return { ended, end };
}

describe('ends that are asked for', () => {
  it('let the one that asked go on once it is over', async () => {
    const endings = new Endings();
    assert.equal(await endings.end(), true);
    assert.equal(await endings.end(Promise.resolve()), true);
    assert.equal(await endings.end(Promise.reject(new Error('it did not want to'))), true);
    assert.equal(endings.count, 3);
  });
  it('wait for those under way, and only the last goes on', async () => {
    const endings = new Endings();
    const { ended, end } = ends();
    const heard: string[] = [];
    const first = endings.end(ended).then((last) => heard.push(`first ${last}`));
    const second = endings.end().then((last) => heard.push(`second ${last}`));
    const begin = endings.over().then(() => heard.push('begin'));
    await new Promise(setImmediate);
    assert.equal(heard.length, 0);
    heard.push('ended');
    end();
    await Promise.all([first, second, begin]);
    assert.equal(heard[0], 'ended');
    assert.deepEqual(heard.slice(1).sort(), ['begin', 'first false', 'second true']);
  });
});
