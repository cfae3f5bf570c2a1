// http.mjs - N requests at 50 in flight with undici behind p-limit: CPU time (user + sys) of each.
import pLimit from "p-limit";
import { Agent } from "undici";
import { row, measure } from "./support.mjs";

const [url, count, limitText] = process.argv.slice(2);
const n = Number(count ?? 10_000);
const inFlight = Number(limitText ?? 50);
const target = new URL(url);
const agent = new Agent({ connections: inFlight, pipelining: 1 });
const limit = pLimit(inFlight);
let bytes = 0;

async function get() {
  const { statusCode, body } = await agent.request({
    origin: target.origin, path: target.pathname, method: "GET",
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  bytes += text.length;
}

await Promise.all(Array.from({ length: 500 }, () => limit(get))); // connect, warm the compiler up
bytes = 0;
const m = await measure(() => Promise.all(Array.from({ length: n }, () => limit(get))));
row("http", "undici", "ns", m.cpu / n, n, { wall: m.wall / n, bytes: bytes / n });
await agent.close();
