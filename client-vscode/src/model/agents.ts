/** Agents in the order in which a person chooses among them. */
import type { Agent } from '../protocol';

export interface Offered {
  recommended: Agent | undefined;
  /** The others that can be had; what only plays back comes last. */
  others: Agent[];
  unavailable: Agent[];
}

export function offered(agents: readonly Agent[]): Offered {
  const available = agents.filter((agent) => agent.available);
  const recommended = available.find((agent) => agent.recommended);
  const rest = available.filter((agent) => agent !== recommended);
  return {
    recommended,
    others: [...rest.filter((agent) => !isRecorded(agent)), ...rest.filter(isRecorded)],
    unavailable: agents.filter((agent) => !agent.available),
  };
}

/** Whether it plays a recorded run back and does nothing by itself. */
export function isRecorded(agent: Agent): boolean {
  return agent.way === 'replay';
}

/** What the person wants of a run besides who does it; what is left out is as configured. */
export interface Wishes {
  note?: string;
  model?: string;
  /** A command, `true` for the project's own check, `false` for none. */
  verify?: string | boolean;
}

/** The argument of `runTask`. Without an agent the server chooses, one that has the model where one is wished for. */
export function request(uri: string, task: string, agent: string | undefined, wishes: Wishes): Record<string, unknown> {
  return { uri, task, ...(agent === undefined ? {} : { agent }), ...wishes };
}
