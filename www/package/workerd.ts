/**
 * The entry point for edge runtimes that are workerd, such as Cloudflare Workers: the same package. They compile no
 * WebAssembly while they run; what is imported comes compiled.
 */
import engine from './engine-relaxed.wasm';
import formats from './formats.wasm';
import { platform } from './nearside.js';

// Every workerd of the last years has relaxed SIMD.
platform.modules = { 'engine-relaxed.wasm': engine, 'formats.wasm': formats };

export * from './nearside.js';
