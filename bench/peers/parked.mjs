// parked.mjs - N async functions asleep at once: memory of each, and CPU time for its whole life.
import { row, measure } from "./support.mjs";
import { setTimeout as sleep } from "node:timers/promises";

const n = Number(process.argv[2] ?? 100_000);

async function main() {
  await sleep(1);
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  let parked = 0;
  const m = await measure(async () => {
    const all = [];
    const task = async (i) => {
      await sleep(50 + n * 0.0025 + (i % 100));
      parked++;
    };
    for (let i = 0; i < n; i++) all.push(task(i));
    row("parked_bytes", "node", "bytes", (process.memoryUsage().rss - before) / n, n);
    await Promise.all(all);
  });
  if (parked !== n) throw new Error(`only ${parked} of ${n} woke`);
  row("parked_life", "node", "ns", m.cpu / n, n);
}

await main();
