import type { Reply } from './requests.js';

/** What a reply gives away. */
export function buffers(reply: Reply): ArrayBuffer[] {
  const container = 'answer' in reply ? reply.answer.container : undefined;
  return container ? [container.buffer as ArrayBuffer] : [];
}
