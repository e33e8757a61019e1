export * from '../../package/service-worker/service-worker.js';
