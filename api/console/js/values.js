// Ids, money, counts and times as texts. What has 64 bits or more is a BigInt or a text throughout:
// no amount and no id ever becomes a number with a floating point.

import { locale } from './i18n.js';

const LOW = (1n << 64n) - 1n;

/** The halves of an id as one text: whole numbers, or a UUID beyond 64 bits. */
export function idText(low, high) {
  const id = (BigInt(high ?? 0) << 64n) | BigInt(low ?? 0);
  if (id <= LOW) return id.toString();
  const hex = id.toString(16).padStart(32, '0');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The halves of the id that a text stands for; `null` where it is none. */
export function idHalves(text) {
  const trimmed = text.trim();
  let id = null;
  if (/^\d{1,39}$/.test(trimmed)) id = BigInt(trimmed);
  const hex = trimmed.replaceAll('-', '');
  if (id === null && /^[0-9a-fA-F-]{36}$/.test(trimmed) && /^[0-9a-fA-F]{32}$/.test(hex)) id = BigInt(`0x${hex}`);
  if (id === null || id === 0n || id >> 128n !== 0n) return null;
  return { id: (id & LOW).toString(), idHigh: (id >> 64n).toString() };
}

/** A decimal text with its digits in groups and its currency. The digits behind the point stay as
 * they are: as many as the currency has. */
export function money(text, currency = '') {
  if (text === undefined || text === null || text === '') return '';
  const negative = text.startsWith('-');
  const [whole, part] = text.replace(/^-/, '').split('.');
  const grouped = BigInt(whole).toLocaleString(locale());
  const point = part === undefined ? '' : `${decimalPoint()}${part}`;
  return `${negative ? '−' : ''}${grouped}${point}${currency ? ` ${currency}` : ''}`;
}

/** Whole minor units as a decimal text of a currency with so many digits. */
export function fromMinor(text, digits) {
  const minor = BigInt(text);
  const size = (minor < 0n ? -minor : minor).toString().padStart(digits + 1, '0');
  const cut = size.length - digits;
  const sign = minor < 0n ? '-' : '';
  return digits === 0 ? sign + size : `${sign}${size.slice(0, cut)}.${size.slice(cut)}`;
}

function decimalPoint() {
  const parts = new Intl.NumberFormat(locale()).formatToParts(1.5);
  return parts.find((part) => part.type === 'decimal')?.value ?? '.';
}

/** A whole number with its digits in groups. */
export function count(text) {
  return BigInt(text ?? 0).toLocaleString(locale());
}

/** A rate or a share, rounded to what is worth reading. */
export function rate(value) {
  const digits = value >= 100 ? 0 : 1;
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

/** Nanoseconds since 1970 as a time of this place; empty for 0. */
export function time(ns) {
  const since = BigInt(ns ?? 0);
  if (since === 0n) return '';
  return new Date(Number(since / 1_000_000n)).toLocaleString(locale(), {
    dateStyle: 'medium', timeStyle: 'medium',
  });
}

/** Nanoseconds as a length of time. */
export function span(ns) {
  const seconds = Number(BigInt(ns ?? 0) / 1_000_000n) / 1000;
  const unit = (value, name) => new Intl.NumberFormat(locale(), {
    style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);
  if (seconds < 1) return unit(seconds * 1000, 'millisecond');
  if (seconds < 120) return unit(seconds, 'second');
  if (seconds < 7200) return unit(seconds / 60, 'minute');
  if (seconds < 172_800) return unit(seconds / 3600, 'hour');
  return unit(seconds / 86_400, 'day');
}

/** A size in bytes. */
export function bytes(text) {
  let size = Number(BigInt(text ?? 0));
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (size >= 1024 && at < units.length - 1) { size /= 1024; at += 1; }
  return `${rate(size)} ${units[at]}`;
}

/** The upper bound, in milliseconds, under which this share of the durations between two answers
 * lies; `null` where there were none. Durations beyond every bound count as the last one. */
export function quantile(before, after, share) {
  if (!after) return null;
  const counts = after.counts.map((each, at) => Number(BigInt(each) - BigInt(before?.counts?.[at] ?? 0)));
  const all = counts.reduce((sum, each) => sum + each, 0);
  if (all <= 0) return null;
  let seen = 0;
  for (let at = 0; at < counts.length; at += 1) {
    seen += counts[at];
    if (seen >= all * share) return Number(after.boundsUs[Math.min(at, after.boundsUs.length - 1)]) / 1000;
  }
  return null;
}

/** Milliseconds as a text. */
export function milliseconds(value) {
  return value === null ? '–' : `${rate(value)} ms`;
}
