//! The ledger under test as the harness prepares and examines it: opening and funding
//! accounts, status, balances. Over gRPC or on the handle, outside what is measured.

use crate::address::Address;
use crate::csv_data::FileAccount;
use crate::generator::{AccountIds, Batch};
use crate::population::Population;
use crate::snapshots::Taken;
use crate::target::Reply;
use crate::target_grpc::{RESPONSE_BYTES_MAX, UnaryPort};
use crate::target_inprocess::HandlePort;
use anyhow::{Context, anyhow, bail, ensure};
use ducat_actors::handle::{BATCH_MAX, Handle};
use ducat_api::client::Connection;
use ducat_api::proto;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::operator_client::OperatorClient;
use ducat_engine::ids::AccountId;
use ducat_engine::transfer::{AccountOutcome, AccountSpec};
use indicatif::{ProgressBar, ProgressStyle};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Requests in flight while preparing.
const SETUP_IN_FLIGHT: usize = 4;

/// The ledger's own figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Version of the server.
    pub version: String,
    /// `power-loss` or `none`.
    pub durability: String,
    /// Accounts opened.
    pub accounts: u64,
    /// Memory they take, bytes.
    pub accounts_bytes: u64,
    /// Ids remembered.
    pub remembered_ids: u64,
    /// Memory they take, bytes.
    pub remembered_ids_bytes: u64,
    /// Transfers posted since its start.
    pub posted: u64,
    /// Transfers refused since its start.
    pub refused: u64,
    /// Repeats answered since its start.
    pub repeats: u64,
    /// Journal payload written since its start, bytes.
    pub journal_bytes: u64,
    /// Partitions.
    pub partitions: u32,
    /// Resident memory, bytes; 0 when it does not say.
    pub memory_bytes: u64,
    /// Hash of the whole state, hexadecimal; empty when not asked for.
    pub state_hash: String,
    /// Sums of each currency over internal and over external accounts, as texts; empty when
    /// not asked for.
    pub totals: Vec<Total>,
}

/// The sums of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The currency.
    pub currency: String,
    /// Over accounts that are not external.
    pub internal: String,
    /// Over external accounts.
    pub external: String,
}

/// A way to the ledger, cheap to clone.
#[derive(Clone)]
pub enum Ledger {
    /// Over gRPC.
    Grpc(Connection),
    /// On the handle; with the durability it was started with.
    InProcess {
        /// The handle.
        handle: Handle,
        /// As in [`Status::durability`].
        durability: &'static str,
    },
}

impl Ledger {
    /// The ledger behind this server.
    pub async fn connect(to: &Address) -> anyhow::Result<Self> {
        Ok(Self::Grpc(to.connect().await?))
    }

    /// What the ledger says about itself; `with_state` looks at every account.
    pub async fn status(&self, with_state: bool) -> anyhow::Result<Status> {
        match self {
            Self::Grpc(channel) => {
                let request = proto::GetStatusRequest { with_state_hash: with_state };
                let mut client = OperatorClient::new(channel.clone());
                let response = client.get_status(request).await.context("ask for the status")?;
                Ok(status_of(response.into_inner()))
            }
            Self::InProcess { handle, durability } => {
                handle_status(handle, durability, with_state).await
            }
        }
    }

    /// Takes a snapshot and waits until it is durable.
    pub async fn create_snapshot(&self) -> anyhow::Result<Taken> {
        let Self::Grpc(channel) = self else { bail!("snapshots are taken of servers") };
        let mut client = OperatorClient::new(channel.clone());
        let answer = client.create_snapshot(proto::CreateSnapshotRequest {}).await;
        let answer = answer.context("take a snapshot")?.into_inner();
        let taken = answer.snapshot.context("an answer without a snapshot")?;
        Ok(Taken {
            lsn: taken.lsn,
            accounts: taken.accounts,
            remembered_ids: taken.remembered_ids,
            bytes: taken.bytes,
            took_ms: answer.took_ns as f64 / 1e6,
        })
    }

    /// Opens every account of `population` and brings in what each begins with.
    pub async fn prepare(
        &self,
        accounts: AccountIds,
        population: &Population,
        run_id: u64,
    ) -> anyhow::Result<()> {
        for (code, digits) in population.assets() {
            self.define(&code, digits).await?;
        }
        let unnumbered = population.unnumbered(accounts);
        if !unnumbered.is_empty() {
            self.open(unnumbered).await?;
        }
        if population.has_fees() {
            crate::fees::attach(self, accounts.income()).await?;
        }
        let (ledger, of) = (self.clone(), population.clone());
        in_batches("opening accounts", population.count(), move |range| {
            let accounts = range.map(|index| (accounts.id(index), of.account(index))).collect();
            let ledger = ledger.clone();
            async move { ledger.open(accounts).await }
        })
        .await?;
        let (ledger, of) = (self.clone(), population.clone());
        in_batches("funding accounts", population.openings(), move |range| {
            let items = range.map(|index| of.opening(index, accounts)).collect();
            let ledger = ledger.clone();
            async move { ledger.fund(Batch { id_high: run_id, items }).await }
        })
        .await
    }

    async fn define(&self, code: &str, digits: u32) -> anyhow::Result<()> {
        let what = || format!("define the asset {code}");
        match self {
            Self::Grpc(channel) => {
                let request =
                    proto::DefineAssetRequest { code: code.to_owned(), digits, dry_run: false };
                client(channel).define_asset(request).await.with_context(what)?;
            }
            Self::InProcess { handle, .. } => {
                handle
                    .define_asset(code.to_owned(), digits)
                    .await
                    .with_context(what)?
                    .with_context(what)?;
            }
        }
        Ok(())
    }

    /// Opens accounts under these ids.
    async fn open(&self, accounts: Vec<(u64, FileAccount)>) -> anyhow::Result<()> {
        match self {
            Self::Grpc(channel) => {
                let account = |(id, account): (u64, FileAccount)| proto::NewAccount {
                    id,
                    currency: account.currency,
                    overdraft_limit: account.overdraft_limit,
                    external: account.external,
                    ..Default::default()
                };
                let accounts = accounts.into_iter().map(account).collect();
                let mut client = client(channel);
                let request = proto::CreateAccountsRequest { accounts, dry_run: false };
                let response = client.create_accounts(request).await.context("open accounts")?;
                let opened = proto::account_result::Code::Opened;
                match response.get_ref().results.iter().find(|r| r.code() != opened) {
                    None => Ok(()),
                    Some(r) => bail!("account {} was not opened: {}", r.id, r.code().as_str_name()),
                }
            }
            Self::InProcess { handle, .. } => open_on_handle(handle, accounts).await,
        }
    }

    async fn fund(&self, openings: Batch) -> anyhow::Result<()> {
        let reply = self.send(&Arc::new(openings)).await?;
        match reply.answers.iter().find(|answer| **answer != 0) {
            None => Ok(()),
            Some(code) => {
                bail!("an opening balance was refused: {}", crate::codec::outcome_name(*code))
            }
        }
    }

    async fn send(&self, batch: &Arc<Batch>) -> anyhow::Result<Reply> {
        let reply = match self {
            Self::Grpc(channel) => {
                let size = batch.items.len();
                UnaryPort::over(channel.clone(), size).call(batch).await
            }
            Self::InProcess { handle, .. } => HandlePort::new(handle.clone()).call(batch).await,
        };
        reply.map_err(|failure| anyhow!("{}: {}", failure.class, failure.message))
    }

    /// Posted balances, minor units, of accounts `range`.
    pub async fn balances(
        &self,
        accounts: AccountIds,
        range: Range<u64>,
    ) -> anyhow::Result<Vec<i128>> {
        match self {
            Self::Grpc(channel) => {
                let id = |index| proto::Id { id: accounts.id(index), id_high: 0 };
                let request = proto::GetAccountsRequest { ids: range.map(id).collect() };
                let response =
                    client(channel).get_accounts(request).await.context("read accounts")?;
                let response = response.into_inner();
                ensure!(response.unknown.is_empty(), "accounts of this run are unknown");
                let minor = |a: &proto::Account| a.posted_minor.parse().context("read a balance");
                response.accounts.iter().map(minor).collect()
            }
            Self::InProcess { handle, .. } => {
                let id = |index| AccountId::new(u128::from(accounts.id(index)));
                let ids = range.map(id).collect::<Result<_, _>>()?;
                let found = handle.accounts(ids).await?.accounts.into_iter();
                let posted =
                    found.map(|a| a.map(|a| a.view.posted).context("an account is unknown"));
                posted.collect()
            }
        }
    }
}

fn client(channel: &Connection) -> LedgerClient<Connection> {
    LedgerClient::new(channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX)
}

async fn open_on_handle(handle: &Handle, accounts: Vec<(u64, FileAccount)>) -> anyhow::Result<()> {
    let currencies = handle.currencies();
    let spec = |(id, account): (u64, FileAccount)| {
        anyhow::Ok(AccountSpec {
            id: AccountId::new(u128::from(id))?,
            currency: currencies.by_code(&account.currency)?.id,
            overdraft_limit: u128::try_from(account.overdraft_minor)
                .context("an overdraft limit is negative")?,
            external: account.external,
        })
    };
    let specs = accounts.into_iter().map(spec).collect::<anyhow::Result<_>>()?;
    for outcome in handle.create_accounts(specs).await? {
        ensure!(matches!(outcome, AccountOutcome::Opened(_)), "not opened: {outcome:?}");
    }
    Ok(())
}

async fn handle_status(
    handle: &Handle,
    durability: &str,
    with_state: bool,
) -> anyhow::Result<Status> {
    let status = handle.status();
    let mut result = Status {
        version: env!("CARGO_PKG_VERSION").into(),
        durability: durability.into(),
        accounts: status.accounts,
        accounts_bytes: status.accounts_bytes,
        remembered_ids: status.remembered_ids,
        remembered_ids_bytes: status.remembered_ids_bytes,
        posted: status.posted,
        refused: status.refused,
        repeats: status.repeats,
        journal_bytes: status.journal_bytes,
        partitions: status.partitions,
        ..Status::default()
    };
    if with_state {
        let summary = handle.summary().await?;
        result.state_hash = summary.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let total = |t: &ducat_actors::handle::CurrencyTotal| Total {
            currency: format!("currency {}", t.currency.0),
            internal: t.internal.to_string(),
            external: t.external.to_string(),
        };
        result.totals = summary.totals.iter().map(total).collect();
    }
    Ok(result)
}

fn status_of(s: proto::GetStatusResponse) -> Status {
    let total = |t: proto::CurrencyTotal| Total {
        currency: t.currency,
        internal: t.internal,
        external: t.external,
    };
    Status {
        version: s.version,
        durability: s.durability,
        accounts: s.accounts,
        accounts_bytes: s.accounts_bytes,
        remembered_ids: s.remembered_ids,
        remembered_ids_bytes: s.remembered_ids_bytes,
        posted: s.posted,
        refused: s.refused,
        repeats: s.repeats,
        journal_bytes: s.journal_bytes,
        partitions: s.partitions,
        memory_bytes: s.memory_bytes,
        state_hash: s.state_hash,
        totals: s.totals.into_iter().map(total).collect(),
    }
}

/// Runs `step` over 0..count in ranges of the largest batch, a few at a time.
async fn in_batches<F, Fut>(what: &'static str, count: u64, step: F) -> anyhow::Result<()>
where
    F: Fn(Range<u64>) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let bar = progress_bar(what, count);
    let mut running = JoinSet::new();
    let mut next = 0;
    while next < count {
        let range = next..(next + BATCH_MAX as u64).min(count);
        next = range.end;
        running.spawn(step(range));
        if running.len() >= SETUP_IN_FLIGHT
            && let Some(done) = running.join_next().await
        {
            done.context("prepare")??;
        }
        bar.set_position(next);
    }
    while let Some(done) = running.join_next().await {
        done.context("prepare")??;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A bar on stderr; silent where that is no terminal.
pub fn progress_bar(what: &'static str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    let template = "{msg:20} {wide_bar} {human_pos}/{human_len} {per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
