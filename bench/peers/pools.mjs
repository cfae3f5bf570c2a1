// pools.mjs - generic-pool and pg-pool at what weir.pool does; the clients are empty objects.
//
// `pool_cycle`: acquire and release of an idle one. The spike: 5 warm, then 50 requests at once which
// use a client for 2 ms each; a new client takes 150 ms; at most 50. p50 and p99 from a request to
// its end, and how many clients there are after it.
import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import genericPool from "generic-pool";
import PgPool from "pg-pool";
import { row, rounds } from "./support.mjs";

const n = Number(process.argv[2] ?? 100_000);

class Client extends EventEmitter {
  static dial = 0;
  _queryable = true; // or pg-pool throws it away when it comes back
  async connect(done) {
    if (Client.dial > 0) await sleep(Client.dial);
    if (done) done();
  }
  end(done) { if (done) done(); }
}

const makers = {
  "generic-pool": (max, min = 0) => {
    const pool = genericPool.createPool({
      create: async () => {
        if (Client.dial > 0) await sleep(Client.dial);
        return {};
      },
      destroy: async () => {},
    }, { max, min });
    return { acquire: () => pool.acquire(), release: (c) => pool.release(c), size: () => pool.size };
  },
  "pg-pool": (max) => {
    const pool = new PgPool({ max, Client });
    return { acquire: () => pool.connect(), release: (c) => c.release(), size: () => pool.totalCount };
  },
};

function quantile(list, q) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

for (const [impl, make] of Object.entries(makers)) {
  Client.dial = 0;
  const pool = make(10);
  await rounds("pool_cycle", impl, n, async () => {
    for (let i = 0; i < n; i++) pool.release(await pool.acquire());
  });

  const spiky = make(50);
  const warm = await Promise.all(Array.from({ length: 5 }, () => spiky.acquire()));
  for (const client of warm) await spiky.release(client);
  Client.dial = 150;
  const took = await Promise.all(Array.from({ length: 50 }, async () => {
    const start = process.hrtime.bigint();
    const client = await spiky.acquire();
    await sleep(2);
    await spiky.release(client);
    return Number(process.hrtime.bigint() - start);
  }));
  await sleep(300); // dials that are still on their way
  row("spike_p50", impl, "ns", quantile(took, 0.5), 50);
  row("spike_p99", impl, "ns", quantile(took, 0.99), 50);
  row("spike_size", impl, "count", spiky.size(), 50);
}
process.exit(0);
