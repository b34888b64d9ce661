import type { Event } from 'vscode';

/** Waits until something is so, of which an event tells, or for `most` milliseconds. */
export async function comes(event: Event<unknown>, isSo: () => boolean, most: number): Promise<void> {
  if (isSo()) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      listening.dispose();
      resolve();
    };
    const timer = setTimeout(done, most);
    const listening = event(() => isSo() && done());
  });
}
