// The page imports the built package by the address it is served from; this gives that address its types.
export * from '../../package/nearside.js';
