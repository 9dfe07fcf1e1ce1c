export * from './calendar/calendar';
export { createCalendar } from './calendar/create-calendar';
export { newYorkDay, newYorkMidnight, toNewYorkIso } from './calendar/new-york';
export * from './engine/advance';
export * from './engine/horizon';
export * from './engine/rebuild';
export { type Rules, SymbolState } from './engine/state';
export * from './indicators/indicator-state';
export * from './needs';
