import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { offered, request } from '../src/model/agents';
import type { Agent } from '../src/protocol';

function agent(name: string, change: Partial<Agent> = {}): Agent {
  return {
    name,
    label: name,
    type: 'acp',
    way: 'acp',
    model: null,
    available: true,
    reason: '',
    version: null,
    recommended: false,
    estimate: null,
    billing: 'metered',
    ways: [],
    ...change,
  };
}

describe('agents to choose from', () => {
  it('begin with the one that is recommended, and end with what only plays back', () => {
    const known = [
      agent('recorded', { way: 'replay' }),
      agent('codex'),
      agent('gone', { available: false }),
      agent('claude', { recommended: true }),
      agent('gemini'),
    ];
    const { recommended, others, unavailable } = offered(known);
    assert.equal(recommended?.name, 'claude');
    assert.deepEqual(
      [others, unavailable].map((list) => list.map(({ name }) => name)),
      [['codex', 'gemini', 'recorded'], ['gone']],
    );
  });

  it('never recommend one that cannot be had', () => {
    assert.equal(offered([agent('claude', { recommended: true, available: false })]).recommended, undefined);
  });
});

describe('a run is asked for', () => {
  it('with what was wished and nothing else', () => {
    assert.deepEqual(request('file:///t', '1', 'claude', { note: 'Be brief.' }), {
      uri: 'file:///t',
      task: '1',
      agent: 'claude',
      note: 'Be brief.',
    });
    assert.deepEqual(request('file:///t', '1', undefined, { verify: false, model: 'opus' }), {
      uri: 'file:///t',
      task: '1',
      verify: false,
      model: 'opus',
    });
  });
});
