// postgres.mjs - queries through node-postgres: a pool of 10, 50 tasks that ask, one row each.
//
// Usage: postgres.mjs URL [N]. CPU time of this process for one query, and elapsed time; `prepared`
// is the same with a named statement.
import assert from "node:assert";
import pg from "pg";
import { row, measure } from "./support.mjs";

const [url, count] = process.argv.slice(2);
const n = Number(count ?? 20_000);
const pool = new pg.Pool({ connectionString: url, max: 10 });

async function run(query) {
  let left = n;
  const worker = async () => {
    while (left-- > 0) {
      const i = left;
      const { rows } = await pool.query(query(i));
      assert.equal(rows[0].n, i + 1);
    }
  };
  await Promise.all(Array.from({ length: 50 }, worker));
}

const text = "select $1::int + 1 as n";
const kinds = {
  pg_query: (i) => ({ text, values: [i] }),
  pg_prepared: (i) => ({ name: "add", text, values: [i] }),
};
for (const [name, query] of Object.entries(kinds)) {
  await run(query); // warm
  const { cpu, wall } = await measure(() => run(query));
  row(name, "node-postgres", "ns", cpu / n, n);
  row(`${name}_elapsed`, "node-postgres", "ns", wall / n, n);
}
await pool.end();
