import type { NearsideError } from '../node.js';

/** Tells of a file, model or input at fault, on standard error and by the exit status. */
export function report({ kind, message }: NearsideError): void {
  process.stderr.write(`nearside: ${kind}: ${message}\n`);
  process.exitCode = 1;
}
