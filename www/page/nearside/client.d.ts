export * from '../../package/client/client.js';
