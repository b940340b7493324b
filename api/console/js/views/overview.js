// What the server is doing now: rates, latency, refusals, LSNs, alerts, hot accounts.

import { call, CallError } from '../api.js';
import { Chart } from '../charts.js';
import { card, el, facts, table } from '../dom.js';
import { named, t } from '../i18n.js';
import { bytes, count, idText, milliseconds, quantile, rate, span, time } from '../values.js';

export const path = 'overview';
export const title = 'nav.overview';
export const needs = 'Operator/GetStatus';

const EVERY_MS = 2000;

/** Rates and quantiles between two answers. */
function between(before, after) {
  const seconds = Number(BigInt(after.uptimeNs) - BigInt(before.uptimeNs)) / 1e9;
  const per = (name) => Number(BigInt(after[name]) - BigInt(before[name])) / seconds;
  return {
    posted: per('posted'),
    refused: per('refused'),
    callsP50: quantile(before.callsTook, after.callsTook, 0.5),
    callsP99: quantile(before.callsTook, after.callsTook, 0.99),
    appendsP99: quantile(before.appendsTook, after.appendsTook, 0.99),
  };
}

function tile(name, value) {
  return el('div', { class: 'tile' }, el('b', {}, value), el('span', {}, name));
}

function tiles(now, rates) {
  return [
    tile(t('posted.rate'), rates ? rate(rates.posted) : '–'),
    tile(t('refused.rate'), rates ? rate(rates.refused) : '–'),
    tile(t('calls.p50'), milliseconds(rates?.callsP50 ?? null)),
    tile(t('calls.p99'), milliseconds(rates?.callsP99 ?? null)),
    tile(t('appends.p99'), milliseconds(rates?.appendsP99 ?? null)),
    tile(t('inFlight'), count(now.inFlight)),
    tile(t('queueDelay'), milliseconds(Number(now.queueDelayUs) / 1000)),
    tile(t('memory'), bytes(now.memoryBytes)),
  ];
}

function lsns(now) {
  const behind = (lsn) => (BigInt(now.durableLsn) > BigInt(lsn)
    ? `${count(lsn)} (${t('behind', { count: count(BigInt(now.durableLsn) - BigInt(lsn)) })})` : count(lsn));
  const lag = BigInt(now.lastLsn) - BigInt(now.durableLsn);
  return facts([
    [t('lsn.assigned'), count(now.lastLsn)],
    [t('lsn.durable'), count(now.durableLsn)],
    [t('lsn.lag'), count(lag)],
    [t('lsn.snapshot'), now.snapshots && behind(now.snapshots.lastLsn)],
    [t('lsn.archive'), now.archive && count(now.archive.lastLsn)],
    [t('lsn.backup'), now.backup && behind(now.backup.lastLsn)],
    [t('lsn.checkpoint'), now.checkpoints && behind(now.checkpoints.lsn)],
  ]);
}

function server(now) {
  return facts([
    [t('ledger'), now.ledgerId],
    [t('version'), now.version],
    [t('uptime'), span(now.uptimeNs)],
    [t('durability'), named('durability', now.durability)],
    [t('accounts.count'), count(now.accounts)],
    [t('holds.open'), count(now.openHolds)],
    [t('overloaded'), count(now.overloaded)],
    [t('repeats'), count(now.repeats)],
  ]);
}

function alerts(now) {
  // Whoever watches for alerts tells them to a receiver.
  if (!now.dependencies.some((each) => each.name === 'alerts-webhook')) {
    return el('p', { class: 'faint' }, t('alerts.unwatched'));
  }
  if (now.alerts.length === 0) return el('p', { class: 'good' }, t('alerts.none'));
  return el('ul', { class: 'plain' }, ...now.alerts.map((alert) =>
    el('li', {}, el('b', { class: alert.severity === 'critical' ? 'bad' : 'warn' }, `${named('severity', alert.severity)}: ${alert.name}`),
      ` ${alert.what} (${time(alert.sinceNs)})`)));
}

function refusals(now) {
  const all = now.refusals.reduce((sum, each) => sum + BigInt(each.count), 0n);
  if (all === 0n) return el('p', { class: 'faint' }, t('refusals.none'));
  const sorted = [...now.refusals].sort((a, b) => (BigInt(a.count) < BigInt(b.count) ? 1 : -1));
  const share = (each) => Number((BigInt(each.count) * 1000n) / all) / 10;
  return table(t('refusals'), [{ title: t('reason') }, { title: t('count'), number: true }, { title: t('share') }],
    sorted.map((each) => [named('reason', each.reason), count(each.count),
      el('meter', { min: 0, max: 100, value: share(each), 'aria-label': `${rate(share(each))} %` })])).made;
}

function hot(now, page) {
  if (now.hotAccounts.length === 0) return el('p', { class: 'faint' }, t('hot.none'));
  return table(t('hot'), [{ title: t('account') }, { title: t('hot.share'), number: true }],
    now.hotAccounts.map((each) => {
      const id = idText(each.id, each.idHigh);
      const name = page.may('Ledger/GetAccounts') ? el('a', { href: `#/accounts/${id}` }, id) : id;
      return [name, `${rate(each.sharePermille / 10)} %`];
    })).made;
}

/** Puts new content into a box, but leaves it alone while somebody is in it. */
function fill(box, ...content) {
  if (box.contains(document.activeElement) && document.activeElement !== box) return;
  box.replaceChildren(...content);
}

export function show(main, rest, page) {
  const box = (label) => ({ label, body: el('div') });
  const parts = { lsns: box('lsns'), alerts: box('alerts'), refusals: box('refusals'), hot: box('hot'), server: box('server') };
  const figures = el('div', { class: 'tiles', id: 'tiles' });
  const speed = new Chart(t('chart.rate'), [t('posted'), t('refused')], (value) => rate(value));
  const latency = new Chart(t('chart.latency'), [t('calls.p99'), t('appends.p99')], milliseconds);
  main.append(
    el('h1', {}, t(title)), figures,
    el('div', { class: 'grid' }, card(t('chart.rate'), speed.made), card(t('chart.latency'), latency.made)),
    el('div', { class: 'grid' }, card(t('alerts'), parts.alerts.body), card(t('lsns'), parts.lsns.body),
      card(t('refusals'), parts.refusals.body), ...(page.all ? [card(t('hot'), parts.hot.body)] : []),
      card(t('server'), parts.server.body)));
  let before = null;
  let over = false;
  let again = null;
  let known = null;
  const look = async () => {
    try {
      const now = await call('Operator/GetStatus');
      if (over) return;
      const rates = before && BigInt(now.uptimeNs) > BigInt(before.uptimeNs) ? between(before, now) : null;
      if (rates) {
        speed.add([rates.posted, rates.refused]);
        latency.add([rates.callsP99, rates.appendsP99]);
      }
      figures.replaceChildren(...tiles(now, rates));
      fill(parts.lsns.body, lsns(now));
      fill(parts.alerts.body, alerts(now));
      fill(parts.refusals.body, refusals(now));
      if (page.all) fill(parts.hot.body, hot(now, page));
      fill(parts.server.body, server(now));
      // Figures that change every two seconds are not read out; an alert that begins is.
      const names = now.alerts.map((alert) => alert.name).join(', ');
      if (names !== (known ?? '')) page.say(names ? t('alerts.firing', { names }) : '', names !== '');
      else if (known === null) page.say('');
      known = names;
      before = now;
    } catch (error) {
      if (over) return;
      if (!(error instanceof CallError)) throw error;
      page.failed(error);
      known = null;
      if (error.http === 401) return;
    }
    again = setTimeout(look, EVERY_MS);
  };
  look();
  return () => { over = true; clearTimeout(again); };
}
