// Snapshots, backup, archive and disk: what a restart and a disaster would find.

import { call, CallError } from '../api.js';
import { card, el, facts, table } from '../dom.js';
import { t } from '../i18n.js';
import { bytes, count, span, time } from '../values.js';

export const path = 'storage';
export const title = 'nav.storage';
export const needs = 'Operator/ListSnapshots';

function fault(text) {
  return text ? el('span', { class: 'bad' }, text) : null;
}

function snapshots(listed, health) {
  const columns = [
    { title: t('lsn'), number: true }, { title: t('taken') }, { title: t('size'), number: true },
    { title: t('accounts.count'), number: true }, { title: t('problem') },
  ];
  const rows = listed.map((each) => [count(each.lsn), time(each.takenNs), bytes(each.bytes),
    count(each.accounts), each.problem ? fault(each.problem) : t('none')]);
  const failed = health?.failure ? [el('p', {}, fault(health.failure))] : [];
  if (rows.length === 0) return [el('p', { class: 'faint' }, t('snapshots.none')), ...failed];
  return [table(t('snapshots'), columns, rows).made, ...failed];
}

function backup(health) {
  if (!health) return el('p', { class: 'warn' }, t('backup.none'));
  return facts([
    [t('backup.to'), health.to],
    [t('lsn'), count(health.lastLsn)],
    [t('backup.lastRun'), time(health.lastRunNs)],
    [t('backup.took'), span(health.lastTookNs)],
    [t('backup.lag'), t('backup.events', { count: count(health.lagLsns), time: span(health.lagNs) })],
    [t('size'), bytes(health.bytes)],
    [t('runs'), count(health.runs)],
    [t('failures'), count(health.failures)],
    [t('problem'), fault(health.lastError)],
    [t('warning'), health.sameFilesystem ? el('span', { class: 'warn' }, t('backup.sameDisk')) : null],
  ]);
}

function rest(status) {
  const cards = [];
  if (status.archive) {
    cards.push(card(t('archive'), facts([
      [t('lsn'), count(status.archive.lastLsn)], [t('size'), bytes(status.archive.bytes)],
      [t('files'), count(status.archive.files)], [t('problem'), fault(status.archive.lastError)],
    ])));
  }
  if (status.disk) {
    cards.push(card(t('disk'), facts([
      [t('disk.free'), bytes(status.disk.freeBytes)], [t('disk.total'), bytes(status.disk.totalBytes)],
      [t('disk.reserve'), bytes(status.disk.reserveBytes)],
      [t('problem'), status.disk.refusing ? fault(t('disk.refusing')) : null],
    ])));
  }
  if (status.verification) {
    cards.push(card(t('verification'), facts([
      [t('verification.last'), time(BigInt(status.verification.lastEndedS) * 1_000_000_000n)],
      [t('lsn'), count(status.verification.lastLsn)],
      [t('verification.differences'), count(status.verification.differences)],
      [t('problem'), fault(status.verification.lastError)],
    ])));
  }
  return cards;
}

export function show(main, parts, page) {
  main.append(el('h1', {}, t(title)));
  let over = false;
  const look = async () => {
    try {
      const status = await call('Operator/GetStatus');
      // A server that keeps its journal in memory has none, and says so.
      const listed = status.snapshots ? (await call('Operator/ListSnapshots')).snapshots : [];
      if (over) return;
      main.append(card(t('snapshots'), ...snapshots(listed, status.snapshots)),
        el('div', { class: 'grid' }, card(t('backup'), backup(status.backup)), ...rest(status)));
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (!over) page.failed(error);
    }
  };
  look();
  return () => { over = true; };
}
