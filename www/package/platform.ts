/** What differs between a browser and Node; the entry point for Node fills it in. */
export interface Platform {
  /** The bytes of a local file; null if the source is none. */
  readFile?: (source: string | URL) => Promise<Uint8Array | null>;
  /** A WebAssembly module of this package. */
  readModule: (url: URL) => Promise<Response | Uint8Array<ArrayBuffer>>;
}

export const platform: Platform = { readModule: (url) => fetch(url) };
