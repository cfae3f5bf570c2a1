// support.mjs - timing and row printing for the Node peers.
//
// A figure is the smaller of CPU time (user + sys, all threads) and elapsed time for one
// operation: Node's helper threads are not held against it, nor is a busy machine.
// `rounds` runs the work three times to warm the compiler up, then reports the median round.

export function row(name, impl, unit, value, n, extra = {}) {
  const more = Object.entries(extra).map(([k, v]) => ` ${k}=${v.toFixed(1)}`).join("");
  console.log(`row name=${name} impl=${impl} unit=${unit} value=${value.toFixed(1)} n=${n}${more}`);
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

export async function measure(fn) {
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  await fn();
  const elapsed = Number(process.hrtime.bigint() - wall);
  const spent = process.cpuUsage(cpu);
  return { cpu: (spent.user + spent.system) * 1000, wall: elapsed };
}

export async function rounds(name, impl, n, fn, count = 3) {
  for (let i = 0; i < 3; i++) await fn();
  const cpu = [], wall = [], best = [];
  for (let i = 0; i < count; i++) {
    const m = await measure(fn);
    cpu.push(m.cpu / n);
    wall.push(m.wall / n);
    best.push(Math.min(m.cpu, m.wall) / n);
  }
  row(name, impl, "ns", median(best), n, { cpu: median(cpu), wall: median(wall) });
}
