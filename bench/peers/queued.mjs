// queued.mjs - memory of a call that waits its turn at npm p-limit: N calls, the one slot taken.
import pLimit from "p-limit";
import { row } from "./support.mjs";

const n = Number(process.argv[2] ?? 100_000);
const limit = pLimit(1);
let release;
limit(() => new Promise((resolve) => { release = resolve; }));
await null;
globalThis.gc?.();
const before = process.memoryUsage().rss;
for (let i = 0; i < n; i++) limit(() => {}, i);
row("queued_bytes", "p-limit", "bytes", (process.memoryUsage().rss - before) / n, n);
limit.clearQueue();
release();
