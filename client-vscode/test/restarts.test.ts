import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Restarts } from '../src/model/restarts';

describe('a server that ended by itself', () => {
  it('is started again three times within minutes', () => {
    const restarts = new Restarts();
    assert.deepEqual(
      [0, 1000, 2000, 3000].map((at) => restarts.again(at)),
      [true, true, true, false],
    );
  });
  it('is started again for ever where it lives long enough', () => {
    const restarts = new Restarts();
    for (let hour = 0; hour < 10; hour++) assert.ok(restarts.again(hour * 3_600_000));
  });
  it('begins anew when a person starts it', () => {
    const restarts = new Restarts(1);
    assert.ok(restarts.again(0));
    assert.ok(!restarts.again(1));
    restarts.forget();
    assert.ok(restarts.again(2));
  });
});
