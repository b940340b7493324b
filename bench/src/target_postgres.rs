//! The port into PostgreSQL: a call of one SQL function and one transaction for a transfer, or
//! for a batch. What the functions do is in `peer/schema.sql`.

use crate::generator::Batch;
use crate::target::{Failure, Reply, hash_ids};
use anyhow::Context;
use std::rc::Rc;
use tokio_postgres::{Client, Config, NoTls, Statement};
use uuid::Uuid;

/// How transfers reach PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One transaction a transfer.
    Single,
    /// One transaction a batch.
    Batched,
}

/// A connection with its prepared statement; requests on it queue behind one another.
#[derive(Clone)]
pub struct PostgresPort {
    client: Rc<Client>,
    statement: Statement,
    form: Form,
}

/// Opens a connection whose background half runs on the current runtime.
pub async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // Whoever waits for an answer gets the error; nobody else would read it.
        let _ = connection.await;
    });
    Ok(client)
}

impl PostgresPort {
    /// Connects and prepares the statement of `form`.
    pub async fn connect(config: &Config, form: Form) -> anyhow::Result<Self> {
        let client = connect(config).await.context("connect to PostgreSQL")?;
        let sql = match form {
            Form::Single => "SELECT transfer($1, $2, $3, $4)",
            Form::Batched => "SELECT transfer_batch($1, $2, $3, $4)",
        };
        let statement = client.prepare(sql).await.context("prepare the peer's statement")?;
        Ok(Self { client: Rc::new(client), statement, form })
    }

    /// Sends one batch and waits until its transaction has committed.
    pub async fn call(&self, batch: &Batch) -> Result<Reply, Failure> {
        let answers = match self.form {
            Form::Single => self.single(batch).await,
            Form::Batched => self.batched(batch).await,
        };
        let answers = answers.map_err(|e| failure(&e))?;
        // Answers come in the order of the arguments, without ids.
        Ok(Reply { answers, ids_hash: hash_ids(&batch.items), ..Reply::default() })
    }

    async fn single(&self, batch: &Batch) -> Result<Vec<u8>, tokio_postgres::Error> {
        let mut answers = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            let id = Uuid::from_u64_pair(batch.id_high, item.id);
            let (debit, credit, amount) =
                (item.debit as i64, item.credit as i64, item.amount as i64);
            let row =
                self.client.query_one(&self.statement, &[&id, &debit, &credit, &amount]).await?;
            // 0 to 16, 128 more for a repeat.
            answers.push(row.try_get::<_, i16>(0)? as u8);
        }
        Ok(answers)
    }

    async fn batched(&self, batch: &Batch) -> Result<Vec<u8>, tokio_postgres::Error> {
        let ids: Vec<Uuid> =
            batch.items.iter().map(|i| Uuid::from_u64_pair(batch.id_high, i.id)).collect();
        let debits: Vec<i64> = batch.items.iter().map(|i| i.debit as i64).collect();
        let credits: Vec<i64> = batch.items.iter().map(|i| i.credit as i64).collect();
        let amounts: Vec<i64> = batch.items.iter().map(|i| i.amount as i64).collect();
        let row =
            self.client.query_one(&self.statement, &[&ids, &debits, &credits, &amounts]).await?;
        row.try_get(0)
    }
}

/// A failed statement has rolled its transaction back, unless the server went away meanwhile.
fn failure(error: &tokio_postgres::Error) -> Failure {
    let code = error.code().map(|code| code.code().to_owned());
    let in_doubt = match &code {
        Some(code) => ["08", "57", "40003"].iter().any(|lost| code.starts_with(lost)),
        None => true,
    };
    let message = match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => error.to_string(),
    };
    let class = code.map_or("CONNECTION".to_owned(), |code| format!("SQLSTATE_{code}"));
    Failure { class, in_doubt, message }
}
