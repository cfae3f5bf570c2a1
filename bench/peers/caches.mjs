// caches.mjs - lru-cache's fetch and dataloader at what weir.cache and weir.batch do.
//
// `cache_hit`: a key that is there, one after the other among 1,000; `cache_miss`: a key that is not,
// loaded by a function that answers at once, each time another (at 1,000 kept one goes for each);
// `cache_herd`: 10,000 ask for one key while its load lasts, for each of them. `batch_load`: 100 keys
// asked for at once, one call of the batch function, for each key.
import assert from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import DataLoader from "dataloader";
import { LRUCache } from "lru-cache";
import { rounds } from "./support.mjs";

const n = Number(process.argv[2] ?? 100_000);
const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`);

const cache = new LRUCache({ max: 1000, ttl: 3_600_000, fetchMethod: async (key) => key.length });
for (const key of keys) await cache.fetch(key);
await rounds("cache_hit", "lru-cache", n, async () => {
  for (let i = 0; i < n; i++) await cache.fetch(keys[i % 1000]);
});
// Without the promise: what is known to be there.
await rounds("cache_peek", "lru-cache", n, async () => {
  for (let i = 0; i < n; i++) cache.get(keys[i % 1000]);
});
let fresh = 0;
await rounds("cache_miss", "lru-cache", n, async () => {
  for (let i = 0; i < n; i++) await cache.fetch(`new-${fresh++}`);
});

let loads = 0;
const slow = new LRUCache({
  max: 1000,
  ttl: 3_600_000,
  fetchMethod: async () => {
    loads++;
    await sleep(1);
    return 1;
  },
});
await rounds("cache_herd", "lru-cache", 10_000, async () => {
  slow.clear();
  loads = 0;
  await Promise.all(Array.from({ length: 10_000 }, () => slow.fetch("hot")));
  assert.equal(loads, 1);
});

const loader = new DataLoader(async (list) => list, { cache: false });
await rounds("batch_load", "dataloader", n, async () => {
  for (let i = 0; i < n; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, k) => loader.load(k)));
  }
});
