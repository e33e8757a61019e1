export * from '../../package/service/service.js';
