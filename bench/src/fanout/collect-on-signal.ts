import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Required by each gateway before its own program: SIGUSR2 collects garbage, so that memory can be compared.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
process.on('SIGUSR2', () => collect());
