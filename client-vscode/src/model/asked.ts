/** The answer to `key` that `held` has, or else what `ask` brings. What could not be answered is asked for again. */
export async function askedOnce<Value>(
  held: Map<string, Promise<Value>>,
  key: string,
  ask: () => Promise<Value>,
): Promise<Value> {
  const known = held.get(key) ?? ask();
  held.set(key, known);
  try {
    return await known;
  } catch (error) {
    if (held.get(key) === known) held.delete(key);
    throw error;
  }
}
