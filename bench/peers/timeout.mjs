// timeout.mjs - a deadline around something immediate, as Node programs write it.
//
// The usual withTimeout: a race against a timer that is cleared when the work is done.
// AbortSignal.timeout is measured beside it; its timer cannot be cleared.
import { rounds } from "./support.mjs";

const n = Number(process.argv[2] ?? 100_000);

function withTimeout(ms, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("timeout")), ms);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

const immediate = async () => 1;

await rounds("timeout_call", "node-race", n, async () => {
  for (let i = 0; i < n; i++) await withTimeout(60_000, immediate());
});
