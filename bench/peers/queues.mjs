// queues.mjs - the limiters of npm at what weir's semaphores, limits, buckets and keys do.
//
// One library per process: queues.mjs p-limit|p-queue|async|bottleneck [N]. What a library has no
// means for is left out. `handoff_waiting`: n loops that each await a call of a limiter of one, so
// that n - 1 wait all the time; `resize_storm` also sets the limit at each call, `weighted` gives
// each call a weight. `priority_jobs`: n jobs with a priority each, ten at once. `sem_with`: one
// call after the other. Bottleneck spends several timers of a millisecond on each job, so it gets
// fewer jobs, and its elapsed time is a row of its own.
import asyncLib from "async";
import Bottleneck from "bottleneck";
import pLimit from "p-limit";
import PQueue from "p-queue";
import { row, measure } from "./support.mjs";

const who = process.argv[2];
const slow = who === "bottleneck";
const n = Number(process.argv[3] ?? (slow ? 100 : 30_000));
const nothing = async () => {};

// The same distribution as bench/contended.lua.
let state = 1;
const random = Array.from({ length: 4096 }, () => {
  state = (state * 48271) % 2147483647;
  return state % 10;
});

const makers = {
  "p-limit": {
    limiter(c) {
      const limit = pLimit(c);
      return { call: (fn) => limit(fn), resize: (k) => { limit.concurrency = k; } };
    },
  },
  "p-queue": {
    limiter(c) {
      const queue = new PQueue({ concurrency: c });
      return {
        call: (fn, priority = 0) => queue.add(fn, { priority }),
        resize: (k) => { queue.concurrency = k; },
        pause: () => queue.pause(), start: () => queue.start(),
      };
    },
    bucket() {
      const queue = new PQueue({ concurrency: 1, interval: 1000, intervalCap: 1e9 });
      return (fn) => queue.add(fn);
    },
    map: (items, fn) => new PQueue({ concurrency: 100 }).addAll(items.map((x) => () => fn(x))),
    ranked: true,
  },
  async: {
    limiter(c, ranked) {
      const make = ranked ? asyncLib.priorityQueue : asyncLib.queue;
      const queue = make(async (fn) => fn(), c);
      return {
        call: ranked ? (fn, priority = 0) => queue.pushAsync(fn, 10 - priority) : (fn) => queue.pushAsync(fn),
        resize: (k) => { queue.concurrency = k; },
        pause: () => queue.pause(), start: () => queue.resume(),
      };
    },
    map: (items, fn) => asyncLib.mapLimit(items, 100, fn),
    ranked: true,
  },
  bottleneck: {
    limiter(c) {
      const limiter = new Bottleneck({ maxConcurrent: c });
      return {
        call: (fn, priority = 0, weight = 1) => limiter.schedule({ priority: 9 - priority, weight }, fn),
        resize: (k) => limiter.updateSettings({ maxConcurrent: k }),
      };
    },
    bucket() {
      const limiter = new Bottleneck({ reservoir: 1e9 });
      return (fn) => limiter.schedule(fn);
    },
    map: (items, fn) => {
      const limiter = new Bottleneck({ maxConcurrent: 100 });
      return Promise.all(items.map((x) => limiter.schedule(fn, x)));
    },
    ranked: true, weighs: true,
  },
};

const lib = makers[who];

// Once to warm the compiler up and three times for the median; or `once`, after smaller sizes did that.
async function report(name, size, operations, fn, once = slow) {
  const best = [], wall = [];
  for (let i = 0; i < (once ? 1 : 4); i++) {
    const m = await measure(fn);
    if (i === 0 && !once) continue;
    best.push(Math.min(m.cpu, m.wall) / operations);
    wall.push(m.wall / operations);
  }
  const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1];
  row(name, who, "ns", middle(best), size);
  if (slow) row(name, `${who}-elapsed`, "ns", middle(wall), size);
}

// `loops` loops that call until `operations` calls were made.
async function loops(count, operations, call) {
  let left = operations;
  const loop = async () => { while (left-- > 0) await call(left & 4095); };
  await Promise.all(Array.from({ length: count }, loop));
}

await report("sem_with", n, n, async () => {
  const { call } = lib.limiter(1);
  for (let i = 0; i < n; i++) await call(nothing);
});
if (lib.map) {
  const items = Array.from({ length: slow ? n : 100_000 }, (_, i) => i + 1);
  await report("limit_map", items.length, items.length, () => lib.map(items, async (x) => x + 1));
}
for (const waiting of slow ? [10] : [10, 1000, 100_000]) {
  const operations = Math.max(n, 2 * waiting);
  await report("handoff_waiting", waiting, operations, () => {
    const { call } = lib.limiter(1);
    return loops(waiting, operations, () => call(nothing));
  }, slow || waiting === 100_000);
}
if (lib.weighs) {
  await report("weighted", 1000, 1000, () => {
    const { call } = lib.limiter(100);
    return loops(1000, 1000, (i) => call(nothing, 0, i % 10 + 1));
  });
}
if (lib.ranked) {
  for (const count of slow ? [1000] : [1000, 100_000]) {
    await report("priority_jobs", count, count, () => {
      const { call, pause, start } = lib.limiter(10, true);
      pause?.();
      const all = Array.from({ length: count }, (_, i) => call(nothing, random[i & 4095]));
      start?.();
      return Promise.all(all);
    }, slow || count === 100_000);
  }
}
for (const waiting of slow ? [10] : [10, 1000]) {
  await report("resize_storm", waiting, n, () => {
    const { call, resize } = lib.limiter(1);
    return loops(waiting, n, (i) => {
      resize(i % 8 + 1);
      return call(nothing);
    });
  });
}
if (lib.bucket) {
  await report("bucket_take", n, n, async () => {
    const call = lib.bucket();
    for (let i = 0; i < n; i++) await call(nothing);
  });
}
if (slow) {
  const keys = Array.from({ length: 100_000 }, (_, i) => `host-${(i + 1) * 7919 % 100_000}`);
  const group = new Bottleneck.Group({ maxConcurrent: 1 });
  for (const key of keys) group.key(key);
  await report("keyed_look_up", keys.length, keys.length, async () => {
    for (const key of keys) group.key(key);
  });
}
process.exit(0); // p-queue and bottleneck may leave timers
