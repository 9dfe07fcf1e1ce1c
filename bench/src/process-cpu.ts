import { readFileSync } from 'node:fs';

/** Ticks of `/proc/<pid>/stat`: 100 a second on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** CPU seconds (user and system, all threads) that a process has used so far; Linux only. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the command in brackets and may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}
