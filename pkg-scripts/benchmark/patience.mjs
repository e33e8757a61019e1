/**
 * How long a single step may keep silent. Nothing takes nearly as long, on the slowest machine: it is for what hangs,
 * and says nothing of how fast anything should be.
 */
const PATIENCE_MS = 10 * 60 * 1000;

/** The promise's value. Fails in the name of `who` when it fails, or when there is no answer. */
export async function answered(who, promise) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS / 60_000} minutes`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, silence]);
  } catch (cause) {
    throw new Error(`${who}: ${cause.message}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
