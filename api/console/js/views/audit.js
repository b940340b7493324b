// The audit trail: who did what, from a moment on, a page at a time.

import { call, CallError } from '../api.js';
import { card, el, field, select, table } from '../dom.js';
import { named, t } from '../i18n.js';
import { count, idHalves, span, time } from '../values.js';

export const path = 'audit';
export const title = 'nav.audit';
export const needs = 'Audit/ListAuditEvents';

const PAGE_SIZE = 50;
const KINDS = ['WRITE', 'READ', 'LOGIN', 'DENIED', 'COMMAND'];
const SEVERITIES = ['INFO', 'NOTICE', 'WARNING', 'ERROR'];
const OUTCOMES = ['DONE', 'REFUSED', 'FAILED'];
/** A page ends without an event where millions of others lie between; so often it is gone on. */
const EMPTY_PAGES_MAX = 20;
const DAY_MS = 86_400_000;

/** A moment of this place as its field has it: `2026-01-31T23:59`. */
function moment(ms) {
  const at = new Date(ms);
  const two = (number) => String(number).padStart(2, '0');
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-');
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The same in nanoseconds since 1970; 0 for none. */
function nanoseconds(text) {
  const ms = text === '' ? NaN : new Date(text).getTime();
  return Number.isFinite(ms) ? (BigInt(ms) * 1_000_000n).toString() : '0';
}

/** The filter that the form asks for; `null` where an id is none. */
function filterOf(form) {
  const data = new FormData(form);
  const filter = { fromNs: nanoseconds(data.get('from')), untilNs: nanoseconds(data.get('to')) };
  const principal = data.get('principal').trim();
  if (principal !== '') filter.principal = principal;
  if (data.get('kind')) filter.kinds = [`AUDIT_KIND_${data.get('kind')}`];
  if (data.get('severity')) filter.severity = `AUDIT_SEVERITY_${data.get('severity')}`;
  if (data.get('outcome')) filter.outcome = `AUDIT_OUTCOME_${data.get('outcome')}`;
  const about = data.get('entity').trim();
  if (about !== '') {
    const id = idHalves(about);
    if (id === null) return null;
    filter[data.get('about')] = id;
  }
  return filter;
}

/** The hexadecimal digits of bytes that came as base64. */
function digits(base64) {
  return [...atob(base64)].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}

/** What an event is about; an account and a transfer lead to their own views. */
function about(entity) {
  const [word, id] = entity.split(' ');
  const view = { account: 'accounts', transfer: 'transfers' }[word];
  if (view === undefined || id === undefined || idHalves(id) === null) return entity;
  return el('a', { href: `#/${view}/${id}` }, entity);
}

/** What became of it: counts of its requests, or why it was refused. */
function became(event) {
  const parts = [named('auditOutcome', event.outcome.replace('AUDIT_OUTCOME_', ''))];
  if (event.requests !== '0') parts.push(t('audit.done', { done: count(event.done), requests: count(event.requests) }));
  if (event.reason !== '') parts.push(named('reason', event.reason));
  for (const { code, count: times } of event.rejections) parts.push(`${named('reason', code)} × ${count(times)}`);
  if (event.detail !== '') parts.push(event.detail);
  return parts.join(' · ');
}

function row(event) {
  const severity = event.severity.replace('AUDIT_SEVERITY_', '');
  const marked = { WARNING: 'warn', ERROR: 'bad' }[severity];
  const runs = event.runs.map(({ firstLsn, lastLsn }) =>
    (firstLsn === lastLsn ? count(firstLsn) : `${count(firstLsn)}–${count(lastLsn)}`));
  return [
    time(event.timeNs),
    named('auditKind', event.kind.replace('AUDIT_KIND_', '')),
    el('span', { class: marked }, named('auditSeverity', severity)),
    event.principal === '' ? t('none') : event.principal,
    event.address,
    event.method,
    about(event.entity),
    became(event),
    count(event.calls),
    event.durationNs === '0' ? '' : span(event.durationNs),
    runs.join(', '),
    event.traceId === '' ? '' : el('code', {}, digits(event.traceId)),
    count(event.lsn),
  ];
}

export function show(main, rest, page) {
  const any = ['', t('any')];
  const results = el('div', { id: 'audit-found' });
  const columns = [
    { title: t('time') }, { title: t('kind') }, { title: t('severity') }, { title: t('principal') },
    { title: t('address') }, { title: t('method') }, { title: t('about') }, { title: t('became') },
    { title: t('calls'), number: true }, { title: t('took'), number: true }, { title: t('audit.events') },
    { title: t('trace') }, { title: t('lsn'), number: true },
  ];
  let asked = 0;
  const find = async (form) => {
    const filter = filterOf(form);
    if (filter === null) {
      page.say(t('id.malformed'), true);
      return;
    }
    asked += 1;
    const mine = asked;
    const more = el('button', { type: 'button', id: 'more-audit' }, t('more'));
    const list = table(t('nav.audit'), columns, []);
    let fromLsn = '0';
    let listed = 0;
    const next = async () => {
      more.disabled = true;
      try {
        for (let pages = 0; pages < EMPTY_PAGES_MAX; pages += 1) {
          const found = await call('Audit/ListAuditEvents', { filter, limit: PAGE_SIZE, fromLsn });
          // Another search was begun meanwhile, or the view was left.
          if (mine !== asked) return;
          list.add(found.events.map(row));
          listed += found.events.length;
          fromLsn = found.nextLsn;
          if (fromLsn === '0') more.remove();
          if (found.events.length > 0 || fromLsn === '0') break;
        }
        page.say(t('found', { count: listed }));
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        if (mine === asked) page.failed(error);
      }
      more.disabled = false;
    };
    more.addEventListener('click', next);
    results.replaceChildren(list.made, more);
    await next();
  };
  const options = (prefix, names) => [any, ...names.map((name) => [name, named(prefix, name)])];
  const text = (name, attributes = {}) =>
    el('input', { name, autocomplete: 'off', spellcheck: 'false', ...attributes });
  const when = (name, value) => el('input', { type: 'datetime-local', name, value });
  const form = el('form', {
    id: 'search-audit',
    on: { submit: (event) => { event.preventDefault(); find(form); } },
  },
  field(t('from'), when('from', moment(Date.now() - DAY_MS))),
  field(t('to'), when('to', null)),
  field(t('principal'), text('principal')),
  field(t('about'), select('about', [['account', t('account')], ['transfer', t('transfer')]])),
  field(t('audit.id'), text('entity')),
  field(t('kind'), select('kind', options('auditKind', KINDS))),
  field(t('audit.severity'), select('severity', options('auditSeverity', SEVERITIES))),
  field(t('outcome'), select('outcome', options('auditOutcome', OUTCOMES))),
  el('button', { class: 'main', type: 'submit' }, t('search')));
  main.append(el('h1', {}, t(title)), card(t('audit.search'), form, results));
  find(form);
  return () => { asked += 1; };
}
