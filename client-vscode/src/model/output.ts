/** What passes between the extension and the page of the output view. All words are the extension's; the page has none. */
import type { RunEvent } from '../protocol';

/** What a person can do with the run that is shown. */
export type Act = 'stop' | 'review' | 'retry' | 'undo' | 'terminal' | 'task';

export interface Button {
  act: Act;
  label: string;
  tip: string;
  primary: boolean;
}

/** How a state looks: the page's own icon and colour. */
export type Tone = 'running' | 'waiting' | 'review' | 'done' | 'failed' | 'idle';

/** The run as its header tells it. */
export interface Head {
  runId: string;
  title: string;
  /** Agent, model and the like, in their order. */
  about: string[];
  tone: Tone;
  state: string;
  startedAt: string;
  /** `null` while it goes on. */
  endedAt: string | null;
  used: string;
  buttons: Button[];
  /** Whether files open as the run proposes them. */
  proposed: boolean;
}

export interface Entry {
  runId: string;
  label: string;
}

export type ToPage =
  | { type: 'words'; words: Record<string, string> }
  /** The runs to choose from, newest first, and which is shown; `following`: always the newest. */
  | { type: 'runs'; runs: Entry[]; selected: string | undefined; following: boolean }
  /** Another run from its beginning; `undefined` for none. */
  | { type: 'open'; head: Head | undefined }
  | { type: 'head'; head: Head }
  | { type: 'events'; runId: string; events: RunEvent[] }
  /** The whole text is wanted, for the clipboard. */
  | { type: 'copy' };

export type FromPage =
  | { type: 'ready' }
  | { type: 'select'; runId: string | undefined }
  | { type: 'act'; act: Act }
  | { type: 'answer'; requestId: string; option: string; text: string | undefined }
  | { type: 'file'; path: string }
  | { type: 'command'; name: 'openTaskFile' | 'demo' }
  | { type: 'copied'; text: string };
