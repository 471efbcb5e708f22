/**
 * Rendezvous hashing (highest random weight): every caller that knows the same instances picks
 * the same one for a key, and an instance that goes or comes moves only the keys that are its.
 */
export function rendezvous(key: string, instanceIds: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestWeight = -1;
  for (const instanceId of instanceIds) {
    const weight = hash32(key, hash32(instanceId, fnvOffset));
    if (weight > bestWeight || (weight === bestWeight && instanceId > best!)) {
      best = instanceId;
      bestWeight = weight;
    }
  }
  return best;
}

const fnvOffset = 0x811c9dc5;

/** FNV-1a over UTF-16 units with the final mix of MurmurHash3: even for ids that look alike. */
export function hash32(text: string, seed = fnvOffset): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
