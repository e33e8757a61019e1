// A page that other sites embed for its service.
import { exposeService, registerService } from '/client.js';

const { script, origins } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const service = await registerService(script, { scope: '/' });
exposeService((request, caller) => service.fetch(request, { caller }), { origins });
document.documentElement.dataset.state = 'ready';
