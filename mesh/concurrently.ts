/**
 * Runs the action for each item, `max` at a time, and answers with the results in the items' order.
 * At a failure no more are begun, and it rejects at once; those under way go on.
 */
export async function concurrently<Item, Result>(
  items: readonly Item[],
  max: number,
  action: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const i = next++;
      try {
        results[i] = await action(items[i]!, i);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(max, items.length) }, work));
  return results;
}
