import { memoryStore } from './store.js';
export const indexedDbStore = (_name: string) => memoryStore();
