declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}

declare module 'cloudflare:workers' {
  /** Keeps what a request began from being stopped when it is answered, or its sender has gone. */
  export function waitUntil(promise: Promise<unknown>): void;
}
