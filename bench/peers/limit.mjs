// limit.mjs - 100,000 jobs through npm p-limit(100), jobs that answer at once and jobs that wait once.
import assert from "node:assert";
import pLimit from "p-limit";
import { rounds } from "./support.mjs";

const n = Number(process.argv[2] ?? 100_000);
const items = Array.from({ length: n }, (_, i) => i + 1);

async function run(start) {
  const results = await start(pLimit(100));
  assert.equal(results.length, n);
  assert.equal(results[n - 1], n + 1);
}

const immediate = async (x) => x + 1;
const waiting = async (x) => {
  await null;
  return x + 1;
};

await rounds("limit_map", "p-limit", n, () => run((limit) => limit.map(items, immediate)));
await rounds("limit_map_wait", "p-limit", n, () => run((limit) => limit.map(items, waiting)));
// The same list by hand, as the package's own documentation shows it.
await rounds("spawn_with", "p-limit", n, () =>
  run((limit) => Promise.all(items.map((x) => limit(immediate, x)))));
await rounds("spawn_with_wait", "p-limit", n, () =>
  run((limit) => Promise.all(items.map((x) => limit(waiting, x)))));
