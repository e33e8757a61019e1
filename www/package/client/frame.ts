/**
 * A service in a frame: one origin has it, and pages of others use it. Browsers keep what an origin has in a frame apart
 * from what it has elsewhere, and what they keep is not the page's to read: it is asked through a port.
 */
export { exposeService, type ExposeOptions, type ExposedService, type Fetch } from './expose.js';
export { connectService, type ConnectOptions, type ServiceConnection, type ServiceRequest } from './connect.js';
