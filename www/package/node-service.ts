/** The entry point `nearside/service` for Node, and for what takes Node's packages: the same service, reading local files. */
import './node.js';

export * from './service/service.js';
