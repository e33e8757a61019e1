/** Times of which the shortest counts: whatever disturbs only adds. */
const ROUNDS = 3;

/** Milliseconds of a call, from so many that a coarse clock shows them. */
export function timed(act: () => unknown): number {
  act();
  return Math.min(...Array.from({ length: ROUNDS }, () => timeOnce(act)));
}

function timeOnce(act: () => unknown): number {
  const start = performance.now();
  let calls = 0;
  let time = 0;
  while (time < 1) {
    act();
    calls++;
    time = performance.now() - start;
  }
  return time / calls;
}
