/** The package's entry for pages that use a service: `nearside/client`. */
export { connectService, exposeService } from './frame.js';
export type { ConnectOptions, ExposeOptions, ExposedService, Fetch, ServiceConnection, ServiceRequest } from './frame.js';
export type { Caller } from '../service/access.js';
export { NearsideError } from '../errors.js';
export type { ErrorContext, ErrorKind } from '../errors.js';
