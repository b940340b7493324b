//! The accounts that the attacks use: a few hot ones that every client fights over, cold ones,
//! some with an overdraft, some frozen or closed, two currencies, and the outside world.

use ducat_api::client::Client;
use ducat_api::proto::{AccountStatus, NewAccount};
use ducat_engine::ids::AccountId;

/// The outside world in GBP; money enters and leaves here.
pub const WORLD_GBP: u64 = 1;
/// The outside world in EUR.
pub const WORLD_EUR: u64 = 2;
/// An account that is frozen before the load begins.
pub const FROZEN: u64 = 3;
/// An account that is closed before the load begins.
pub const CLOSED: u64 = 4;
/// Nobody opens this one.
pub const UNKNOWN: u64 = 999;
/// The hot accounts, GBP.
pub const HOT: std::ops::Range<u64> = 10..13;
/// The cold accounts, GBP; every fourth has an overdraft limit.
pub const COLD: std::ops::Range<u64> = 20..60;
/// Accounts in EUR.
pub const EUR: std::ops::Range<u64> = 70..74;
/// The overdraft limit of every fourth cold account, minor units.
pub const OVERDRAFT_MINOR: i128 = 25_000;

/// An account as the model needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its id.
    pub id: u64,
    /// What it holds.
    pub currency: &'static str,
    /// It stands for the outside world.
    pub external: bool,
    /// Overdraft limit, minor units.
    pub overdraft: i128,
    /// What it may do.
    pub status: AccountStatus,
}

/// All accounts, in the order of their opening.
pub fn specs() -> Vec<Spec> {
    let plain = |id, currency| Spec {
        id,
        currency,
        external: false,
        overdraft: 0,
        status: AccountStatus::Active,
    };
    let mut all = vec![
        Spec { external: true, ..plain(WORLD_GBP, "GBP") },
        Spec { external: true, ..plain(WORLD_EUR, "EUR") },
        Spec { status: AccountStatus::Frozen, ..plain(FROZEN, "GBP") },
        Spec { status: AccountStatus::Closed, ..plain(CLOSED, "GBP") },
    ];
    all.extend(HOT.map(|id| plain(id, "GBP")));
    all.extend(COLD.map(|id| Spec {
        overdraft: if id % 4 == 0 { OVERDRAFT_MINOR } else { 0 },
        ..plain(id, "GBP")
    }));
    all.extend(EUR.map(|id| plain(id, "EUR")));
    all
}

/// An account id.
pub fn account(id: u64) -> AccountId {
    AccountId::new(u128::from(id)).expect("ids of the tests are not 0")
}

/// Opens the accounts and sets their statuses; safe to repeat after a crash.
pub async fn open(client: &Client) -> Result<(), ducat_api::client::ClientError> {
    let accounts = specs()
        .iter()
        .map(|spec| NewAccount {
            overdraft_limit: match spec.overdraft {
                0 => String::new(),
                minor => format!("{}.{:02}", minor / 100, minor % 100),
            },
            ..NewAccount::new(account(spec.id), spec.currency, spec.external)
        })
        .collect();
    for result in client.create_accounts(accounts).await? {
        assert!(result.lsn > 0, "account {}: {}", result.id, result.explanation);
    }
    for id in [FROZEN, CLOSED] {
        let spec = specs().into_iter().find(|spec| spec.id == id).expect("listed");
        let now = client.get_accounts(&[account(id)]).await?;
        if now.accounts[0].status != spec.status as i32 {
            client.set_account_status(account(id), spec.status).await?;
        }
    }
    Ok(())
}
