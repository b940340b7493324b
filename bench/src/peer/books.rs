//! The peer's books: their tables and functions in a schema of their own, the accounts of a
//! run, and whether they add up afterwards.

use crate::check::Check;
use crate::generator::AccountIds;
use crate::ledger::progress_bar;
use crate::tally::Whole;
use crate::workload::Workload;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Config};
use uuid::Uuid;

/// The tables and functions.
const SCHEMA: &str = include_str!("schema.sql");

/// Accounts opened by one statement.
const OPENED_AT_ONCE: u64 = 100_000;

/// What a report names of a server's settings.
const SHOWN: [&str; 13] = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "wal_level",
    "shared_buffers",
    "wal_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "max_connections",
    "autovacuum",
    "jit",
];

/// A server's setting, as it says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A session beside the load, and the name of the schema it works in.
pub struct Books {
    client: Client,
    schema: String,
    /// How the load connects: into the schema, with durable commits.
    pub config: Config,
}

impl Books {
    /// Connects, and refuses a server whose commits do not survive power loss. Nothing is
    /// made yet.
    pub async fn open(server: &Config) -> anyhow::Result<Self> {
        let schema = format!("ducat_bench_{:016x}", crate::run::random_id());
        let mut config = server.clone();
        let ours = format!("-c search_path={schema} -c synchronous_commit=on");
        let options = match server.get_options() {
            Some(theirs) => format!("{theirs} {ours}"),
            None => ours,
        };
        config.options(options);
        let client =
            crate::target_postgres::connect(&config).await.context("connect to PostgreSQL")?;
        let books = Self { client, schema, config };
        let settings = books.settings().await?;
        refuse_unsafe(&settings)?;
        Ok(books)
    }

    /// What the server says of itself.
    pub async fn settings(&self) -> anyhow::Result<Vec<Setting>> {
        let mut settings = Vec::with_capacity(SHOWN.len());
        for name in SHOWN {
            let row = self.client.query_one(&format!("SHOW {name}"), &[]).await?;
            settings.push(Setting { name: name.into(), value: row.try_get(0)? });
        }
        Ok(settings)
    }

    /// Tables, functions and the accounts, each with what it begins with, as a deposit from
    /// the external account.
    pub async fn make(
        &self,
        accounts: AccountIds,
        workload: Workload,
        run_id: u64,
    ) -> anyhow::Result<()> {
        let schema = &self.schema;
        let sql = format!("CREATE SCHEMA {schema}; {SCHEMA}");
        self.client.batch_execute(&sql).await.context("make the peer's tables")?;
        let external = accounts.external() as i64;
        self.client
            .execute("INSERT INTO accounts VALUES ($1, 0, true)", &[&external])
            .await
            .context("open the external account")?;
        let bar = progress_bar("opening accounts in PostgreSQL", accounts.count);
        for from in (0..accounts.count).step_by(OPENED_AT_ONCE as usize) {
            let range = from..(from + OPENED_AT_ONCE).min(accounts.count);
            let ids: Vec<i64> = range.clone().map(|i| accounts.id(i) as i64).collect();
            let deposits: Vec<Uuid> =
                range.clone().map(|i| Uuid::from_u64_pair(run_id, i + 1)).collect();
            let amounts: Vec<i64> =
                range.map(|i| workload.funding(i, accounts.count) as i64).collect();
            self.client
                .execute(
                    "WITH opened AS (
                         INSERT INTO accounts
                         SELECT id, amount, false FROM unnest($1::bigint[], $3::bigint[])
                             AS t (id, amount)
                     ), deposited AS (
                         INSERT INTO transfers (id, debit, credit, amount, code)
                         SELECT deposit, $4, id, amount, 0
                         FROM unnest($1::bigint[], $2::uuid[], $3::bigint[])
                             AS t (id, deposit, amount)
                     )
                     UPDATE accounts SET balance = balance
                         - (SELECT sum(amount) FROM unnest($3::bigint[]) AS t (amount))::bigint
                     WHERE id = $4",
                    &[&ids, &deposits, &amounts, &external],
                )
                .await
                .context("open and fund accounts")?;
            bar.inc(ids.len() as u64);
        }
        bar.finish_and_clear();
        self.settle().await
    }

    /// Statistics for the planner, and the set-up's pages on disk, so that the run pays only
    /// for itself.
    async fn settle(&self) -> anyhow::Result<()> {
        for table in ["accounts", "transfers"] {
            let sql = format!("VACUUM ANALYZE {}.{table}", self.schema);
            self.client.batch_execute(&sql).await.context("analyze the peer's tables")?;
        }
        if let Err(e) = self.client.batch_execute("CHECKPOINT").await {
            eprintln!("note: PostgreSQL made no checkpoint before the run: {e}");
        }
        Ok(())
    }

    /// Whether the books add up and hold what was answered since [`Self::make`].
    pub async fn checks(&self, accounts: AccountIds, whole: &Whole) -> anyhow::Result<Vec<Check>> {
        Ok(vec![
            self.conservation().await?,
            self.history().await?,
            self.counters(accounts, whole).await?,
        ])
    }

    async fn conservation(&self) -> anyhow::Result<Check> {
        let sql = "SELECT coalesce(sum(balance) FILTER (WHERE NOT external), 0)::text,
                          coalesce(sum(balance) FILTER (WHERE external), 0)::text,
                          coalesce(sum(balance), 0) = 0
                   FROM accounts";
        let row = self.client.query_one(sql, &[]).await.context("sum the peer's balances")?;
        let (internal, external): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Check {
            name: "money is conserved".into(),
            held: Some(row.try_get(2)?),
            detail: format!("internal {internal} external {external}"),
        })
    }

    async fn history(&self) -> anyhow::Result<Check> {
        let sql = "SELECT count(*) FROM accounts LEFT JOIN (
                       SELECT account, sum(gain) AS gain
                       FROM (SELECT debit, -amount FROM transfers WHERE code = 0
                             UNION ALL SELECT credit, amount FROM transfers WHERE code = 0)
                           AS sides (account, gain)
                       GROUP BY account) AS moved ON moved.account = accounts.id
                   WHERE accounts.balance <> coalesce(moved.gain, 0)";
        let row = self.client.query_one(sql, &[]).await.context("sum the peer's transfers")?;
        let wrong: i64 = row.try_get(0)?;
        Ok(Check {
            name: "every balance is the sum of its transfers".into(),
            held: Some(wrong == 0),
            detail: format!("{wrong} accounts differ"),
        })
    }

    async fn counters(&self, accounts: AccountIds, whole: &Whole) -> anyhow::Result<Check> {
        let sql = "SELECT count(*) FILTER (WHERE code = 0), count(*) FILTER (WHERE code <> 0)
                   FROM transfers";
        let row = self.client.query_one(sql, &[]).await.context("count the peer's transfers")?;
        let (posted, refused): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let posted = posted as u64 - accounts.count;
        let certain = whole.in_doubt == 0 && whole.unanswered_requests == 0;
        let same = (posted, refused as u64) == (whole.posted, whole.refused);
        Ok(Check {
            name: "the tables agree with the answers".into(),
            held: certain.then_some(same),
            detail: format!(
                "posted {posted} of {}, refused {refused} of {}",
                whole.posted, whole.refused
            ),
        })
    }

    /// Removes everything that was made.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        self.client.batch_execute(&sql).await.context("remove the peer's tables")
    }
}

/// Comparing durable answers with answers that are not would be no comparison.
fn refuse_unsafe(settings: &[Setting]) -> anyhow::Result<()> {
    let value = |name: &str| {
        let found = settings.iter().find(|s| s.name == name);
        found.map(|s| s.value.as_str()).with_context(|| format!("PostgreSQL has no {name}"))
    };
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = value(name)?;
        if value != "on" {
            bail!("PostgreSQL has {name} = {value}: its commits would not survive power loss");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(unsafe_name: &str) -> Vec<Setting> {
        let value = |name| if name == unsafe_name { "off" } else { "on" };
        SHOWN.map(|name| Setting { name: name.into(), value: value(name).into() }).into()
    }

    #[test]
    fn a_server_that_may_forget_is_refused() {
        refuse_unsafe(&settings("")).expect("all on");
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            let error = refuse_unsafe(&settings(name)).expect_err("off").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
