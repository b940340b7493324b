//! The coordinator's other work, done between two batches of transfers: assets, reads,
//! snapshots, and accounts, whose part is [`crate::accounts`]'s.

use crate::coordinator::{CoordinatorActor, CoordinatorState};
use crate::handle::{CurrencyTotal, HoldNow, HoldState, HoldView, StateSummary};
use crate::partition::PartitionMsg;
use crate::tasks::{
    AssetResult, DecidedNow, FeeChange, FeeResult, Found, HoldsOf, Read, Reply, Task,
};
use ducat_engine::account_event::{AccountEvent, Change};
use ducat_engine::coordinator::Coordinator;
use ducat_engine::holds::Hold;
use ducat_engine::ids::{Lsn, Slot, TransferId};
use ducat_engine::ledger::{HashPart, Totals, check_holds, merge_totals, state_hash};
use ducat_engine::record::Record;
use ducat_engine::snapshot::{
    Head, PIECE_DRIVEN, PIECE_HOLDS, PIECE_IDS, PIECE_PROFILES, PIECE_REFUNDS,
};
use ducat_engine::transfer::AccountView;
use ractor::{ActorProcessingErr, ActorRef};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

type Done<T> = Result<T, ActorProcessingErr>;

/// Places of the ledger's open holds that one page of an account's looks at, at most: a
/// millisecond's work, roughly.
const HOLDS_LOOKED_AT: usize = 16_384;

/// How the hold stands that the event at `lsn` placed under this id, if it placed one. An open hold
/// can have been placed under the id by an earlier request, which is forgotten.
fn hold_now(rules: &Coordinator, id: TransferId, lsn: Lsn) -> Option<HoldNow> {
    match rules.holds().get(id) {
        Some(hold) if hold.placed_lsn == lsn => {
            Some(HoldNow::Open { captured: hold.remaining < hold.amount })
        }
        _ => rules.known().closed(id).map(HoldNow::Closed),
    }
}

impl CoordinatorActor {
    /// Does one task that is not a transfer.
    pub(crate) async fn attend(&self, task: Task, state: &mut CoordinatorState) -> Done<()> {
        match task {
            Task::Transfers(_) | Task::Audited(..) => {
                unreachable!("transfers are gathered, and others come without who asks")
            }
            Task::Audit { events, reply } => {
                let records: Vec<_> = events
                    .into_iter()
                    .map(|event| (state.rules.audit_lsn(), Record::Audit(Box::new(event))))
                    .collect();
                let last = records.last().map_or(Lsn::ZERO, |(lsn, _)| *lsn);
                let time_ns = state.rules.time(state.clock.now_ns());
                state.journal(time_ns, &records, move || drop(reply.send(Ok(last))))
            }
            Task::OpenAccounts { accounts, reply, permit } => {
                let (events, outcomes) = state.open_accounts(&accounts).await?;
                let time_ns = state.rules.time(state.clock.now_ns());
                state.journal(time_ns, &events, move || {
                    drop(reply.send(Ok(outcomes)));
                    drop(permit);
                })
            }
            Task::ChangeAccount { account, change, reply, permit } => {
                let (events, result) = state.change_account(account, change).await?;
                self.note_watches(&events, state);
                let time_ns = state.rules.time(state.clock.now_ns());
                state.journal(time_ns, &events, move || {
                    drop(reply.send(Ok(result)));
                    drop(permit);
                })
            }
            Task::BeginSnapshot { reply } => {
                let head = state.begin_export()?;
                // Travels the way of answers: out when everything before it is durable.
                state.journal(0, &[], move || drop(reply.send(Ok(head))))
            }
            Task::EndSnapshot => {
                state.rules.end_export();
                Ok(())
            }
            Task::Driven(task) => self.attend_driven(task, state),
            Task::ChangeFees { change, reply, permit } => {
                let changed = match change {
                    FeeChange::Define(schedule) => state.rules.define_fee(schedule),
                    FeeChange::Attach(target, name) => {
                        state.rules.attach_fee(target, name.as_deref())
                    }
                };
                let (events, result): (Vec<_>, FeeResult) = match changed {
                    Ok(event) => {
                        let lsn = event.as_ref().map(|(lsn, _)| *lsn);
                        (event.into_iter().collect(), Ok(lsn))
                    }
                    Err(why) => (Vec::new(), Err(why)),
                };
                let time_ns = state.rules.time(state.clock.now_ns());
                state.journal(time_ns, &events, move || {
                    drop(reply.send(Ok(result)));
                    drop(permit);
                })
            }
            Task::DefineAsset { code, digits, reply, permit } => {
                let defined = state.rules.define_asset(&code, digits);
                let (events, result): (Vec<_>, AssetResult) = match defined {
                    Ok((asset, event)) => {
                        let new = event.is_some();
                        (event.into_iter().collect(), Ok((asset, new)))
                    }
                    Err(why) => (Vec::new(), Err(why)),
                };
                let currencies = Arc::new(state.rules.currencies().clone());
                let shared = Arc::clone(&self.shared);
                let time_ns = state.rules.time(state.clock.now_ns());
                state.journal(time_ns, &events, move || {
                    // Only now: nobody may use an asset that a crash could take back.
                    if let Ok(mut known) = shared.currencies.write() {
                        *known = currencies;
                    }
                    drop(reply.send(Ok(result)));
                    drop(permit);
                })
            }
        }
    }

    /// Does one read.
    pub(crate) async fn read(&self, read: Read, state: &mut CoordinatorState) -> Done<()> {
        let lsn = Lsn(state.rules.next_lsn().0 - 1);
        match read {
            Read::Slots { slots, reply } => {
                let views = state.views(slots).await?;
                self.tell_when_durable(reply, Found { what: views, lsn });
            }
            Read::Copies { concerning, reply } => {
                let copied = state.copy(&concerning).await?;
                self.tell_when_durable(reply, copied);
            }
            Read::Page { filter, from, limit, reply } => {
                let page = state.page(&filter, from, limit).await?;
                self.tell_when_durable(reply, Found { what: page, lsn });
            }
            Read::Events { ids, reply } => {
                let event = |id: &TransferId| {
                    let lsn = state.rules.known().get(*id)?;
                    let refunded = state.rules.refunds().get(lsn).copied();
                    Some(DecidedNow { lsn, refunded, hold: hold_now(&state.rules, *id, lsn) })
                };
                let found = ids.iter().map(event).collect();
                self.tell_when_durable(reply, Found { what: found, lsn });
            }
            Read::RefundsOf { of, at, reply } => {
                let at = at.or_else(|| state.rules.known().get(of));
                let found = at.map(|at| (at, state.rules.refunds().get(at).copied()));
                self.tell_when_durable(reply, Found { what: found, lsn });
            }
            Read::Quote { kind, debit, amount, reply } => {
                let quote = state.rules.quote(kind, debit, amount);
                self.tell_when_durable(reply, Found { what: quote, lsn });
            }
            Read::DryFee { change, reply } => {
                let dry = match &change {
                    FeeChange::Define(schedule) => state.rules.dry_run_fee(schedule),
                    FeeChange::Attach(target, name) => {
                        state.rules.dry_run_attached_fee(*target, name.as_deref())
                    }
                };
                self.tell_when_durable(reply, Found { what: dry, lsn });
            }
            Read::Fees { reply } => {
                let fees = state.rules.fees().clone();
                self.tell_when_durable(reply, Found { what: fees, lsn });
            }
            Read::Summary { reply } => {
                let summary = state.summary(lsn).await?;
                self.tell_when_durable(reply, summary);
            }
            Read::HoldsById { ids, reply } => {
                let found = state.holds(&ids).await?;
                self.tell_when_durable(reply, Found { what: found, lsn });
            }
            Read::HoldsOf { account, from, limit, reply } => {
                let slot = state.rules.directory().get(account).map(|listing| listing.slot);
                let found = match slot {
                    Some(slot) => Some(state.holds_of(slot, from, limit).await?),
                    None => None,
                };
                self.tell_when_durable(reply, Found { what: found, lsn });
            }
            Read::Holds { reply } => {
                // As for ids.
                drop(reply.send(Ok(state.rules.give_holds(PIECE_HOLDS))));
            }
            Read::Ids { reply } => {
                // Of a moment that was durable before the first were asked for.
                drop(reply.send(Ok(state.rules.give(PIECE_IDS))));
            }
            Read::Profiles { reply } => {
                // As ids are.
                drop(reply.send(Ok(state.rules.give_profiles(PIECE_PROFILES))));
            }
            Read::Refunds { reply } => {
                // As ids are.
                drop(reply.send(Ok(state.rules.give_refunds(PIECE_REFUNDS))));
            }
            Read::Driven(read) => self.read_driven(read, state),
            Read::DrivenPiece { reply } => {
                // As ids are.
                drop(reply.send(Ok(state.rules.give_driven(PIECE_DRIVEN))));
            }
            Read::Memory { reply } => {
                let bytes = state.memory().await?;
                let counters = &self.shared.counters;
                let known = state.rules.known().memory_bytes();
                counters.known_bytes.store(known, Ordering::Relaxed);
                let holds = state.rules.holds().memory_bytes();
                counters.holds_bytes.store(holds, Ordering::Relaxed);
                let directory =
                    state.rules.directory().memory_bytes() + state.rules.profiles().memory_bytes();
                counters.directory_bytes.store(directory, Ordering::Relaxed);
                drop(reply.send(Ok(bytes)));
            }
        }
        Ok(())
    }

    /// Shows feeds how watches are from now on. Before it is journalled: a watch triggers only behind
    /// the event that defines it.
    fn note_watches(&self, events: &[(Lsn, Record)], state: &CoordinatorState) {
        for (_, record) in events {
            if let Record::Account(event) = record
                && let AccountEvent::Changed { slot, change: Change::Watch(_), .. } = &**event
                && let Some(details) = state.rules.profiles().get(*slot)
            {
                self.shared.watched.note(*slot, details);
            }
        }
    }

    /// Reads gate on the journal like everything else: what is not durable is not shown.
    pub(crate) fn tell_when_durable<T: AsOf + Send + 'static>(&self, reply: Reply<T>, value: T) {
        let lsn = value.as_of();
        if *self.shared.durable.borrow() >= lsn {
            drop(reply.send(Ok(value)));
            return;
        }
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let result = shared.wait_durable(lsn).await.map(|()| value);
            drop(reply.send(result));
        });
    }
}

/// A value that shows the state of one LSN.
pub(crate) trait AsOf {
    fn as_of(&self) -> Lsn;
}

impl<T> AsOf for Found<T> {
    fn as_of(&self) -> Lsn {
        self.lsn
    }
}

impl AsOf for StateSummary {
    fn as_of(&self) -> Lsn {
        self.lsn
    }
}

impl CoordinatorState {
    pub(crate) fn host(&self, slot: Slot) -> &ActorRef<PartitionMsg> {
        &self.partitions[self.rules.layout().partition_of(slot)]
    }

    /// How accounts stand, in no particular order.
    pub(crate) async fn views(&self, slots: Vec<Slot>) -> Done<Vec<(Slot, AccountView)>> {
        let mut by_partition = vec![Vec::new(); self.partitions.len()];
        for slot in slots {
            by_partition[self.rules.layout().partition_of(slot)].push(slot);
        }
        let mut asked = Vec::new();
        for (partition, slots) in self.partitions.iter().zip(by_partition) {
            if !slots.is_empty() {
                let (reply, answer) = oneshot::channel();
                partition.cast(PartitionMsg::Views { slots, reply })?;
                asked.push(answer);
            }
        }
        let mut views = Vec::new();
        for answer in asked {
            views.append(&mut answer.await?);
        }
        Ok(views)
    }

    /// How holds stand, open ones with their accounts' ids.
    async fn holds(&self, ids: &[TransferId]) -> Done<Vec<Option<HoldState>>> {
        let open = |id: &TransferId| self.rules.holds().get(*id).copied();
        let found: Vec<_> = ids.iter().map(open).collect();
        let accounts = self.accounts_of(found.iter().flatten()).await?;
        let state = |(id, hold): (&TransferId, Option<Hold>)| match hold {
            Some(hold) => HoldView::of(hold, &accounts).map(HoldState::Open),
            None => self.rules.known().closed(*id).map(HoldState::Closed),
        };
        Ok(ids.iter().zip(found).map(state).collect())
    }

    /// Open holds of a debit account, and where to go on.
    async fn holds_of(&self, debit: Slot, from: u32, limit: usize) -> Done<HoldsOf> {
        let holds = self.rules.holds();
        let (holds, next) = holds.of_account(debit, from, HOLDS_LOOKED_AT, limit);
        let accounts = self.accounts_of(holds.iter()).await?;
        let views = holds.into_iter().filter_map(|hold| HoldView::of(hold, &accounts));
        Ok((views.collect(), next))
    }

    /// The accounts of holds.
    async fn accounts_of(
        &self,
        holds: impl Iterator<Item = &Hold>,
    ) -> Done<HashMap<Slot, AccountView>> {
        let mut slots: Vec<Slot> = holds.flat_map(|hold| [hold.debit, hold.credit]).collect();
        slots.sort_unstable();
        slots.dedup();
        Ok(self.views(slots).await?.into_iter().collect())
    }

    async fn summary(&self, lsn: Lsn) -> Done<StateSummary> {
        let mut hash = HashPart::default();
        let mut totals: BTreeMap<_, Totals> = BTreeMap::new();
        let mut asked = Vec::new();
        for partition in &self.partitions {
            let (reply, answer) = oneshot::channel();
            partition.cast(PartitionMsg::Summary { reply })?;
            asked.push(answer);
        }
        let mut on_hold = Vec::new();
        for answer in asked {
            let summary = answer.await?;
            hash.merge(summary.hash);
            merge_totals(&mut totals, summary.totals);
            on_hold.extend(summary.on_hold);
        }
        // Asserted, like the sums: what accounts have on hold is what open holds set aside.
        check_holds(self.rules.holds(), on_hold.into_iter())?;
        let totals = totals.into_iter().map(|(currency, Totals { internal, external })| {
            assert_eq!(internal + external, 0, "money was made or lost");
            CurrencyTotal { currency, internal, external }
        });
        let totals = totals.collect();
        Ok(StateSummary { lsn, hash: state_hash(hash, &self.rules), totals })
    }

    /// The marker of a snapshot: whatever partitions are told after it is no part of it.
    fn begin_export(&mut self) -> Done<Head> {
        for partition in &self.partitions {
            partition
                .cast(PartitionMsg::BeginExport { piece: self.rules.layout().piece_accounts() })?;
        }
        Ok(self.rules.begin_export())
    }

    async fn memory(&self) -> Done<usize> {
        let mut bytes = 0;
        for partition in &self.partitions {
            let (reply, answer) = oneshot::channel();
            partition.cast(PartitionMsg::Memory { reply })?;
            bytes += answer.await?;
        }
        Ok(bytes)
    }
}
