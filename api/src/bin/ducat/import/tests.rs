//! Whole imports against the serial model behind gRPC: small ones with faults, and the real
//! data sets where they are present.

use super::*;
use crate::testing::{Faults, TestLedger};
use ducat_api::import::ids::{Purpose, derived};
use std::io::Write as _;
use std::path::PathBuf;

const MAP: &str = "namespace='t'\ncurrency='GBP'\n[externals.bank]\n[accounts]\n\
    id={column='id'}\nopening_balance={column='balance'}\nopening_external='bank'\n\
    [transfers]\ndebit={column='from'}\ncredit={column='to'}\namount={column='sum'}\n";

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    path
}

/// An import of four accounts and a chain of transfers in which each needs the one before.
fn chain(dir: &tempfile::TempDir, rows: usize) -> ImportArgs {
    let mut transfers = "from,to,sum\n".to_owned();
    for row in 0..rows {
        let (from, to) = (row % 4 + 1, (row + 1) % 4 + 1);
        transfers.push_str(&format!("{from},{to},10.00\n"));
    }
    ImportArgs {
        map: Some(file(dir, "map.toml", MAP)),
        accounts: Some(file(dir, "accounts.csv", "id,balance\n1,10\n2,0\n3,0\n4,0\n")),
        transfers: Some(file(dir, "transfers.csv", &transfers)),
        batch_size: 3,
        in_flight: 4,
        ..ImportArgs::default()
    }
}

async fn import(ledger: &TestLedger, args: ImportArgs) -> Result<Summary, Failure> {
    let (credentials, master_key) = Default::default();
    let global = Global { server: ledger.serve().await, json: false, credentials, master_key };
    let mapping = args.mapping()?;
    let import = Import { common: Arc::new(Common::of(&mapping)?), mapping, args };
    import.transfer_to_ledger(net::connect(&global).await?).await
}

#[test]
fn a_rehearsal_that_fails_says_why() {
    let why = || Failure::new(Exit::Damaged, "row 7 is no row");
    let end = || Failure::new(Exit::Internal, "the rehearsal's own ledger failed: no disk");
    let told = |ended: Result<(), Failure>, stopped| {
        rehearsed(ended, stopped).map_err(|failure| (failure.exit, failure.message))
    };
    assert_eq!(told(Ok(()), Ok(())), Ok(()));
    assert_eq!(told(Err(why()), Ok(())), Err((Exit::Damaged, why().message)));
    assert_eq!(told(Ok(()), Err(end())), Err((Exit::Internal, end().message)));
    let (exit, text) = told(Err(why()), Err(end())).expect_err("both");
    assert_eq!(exit, Exit::Damaged);
    assert!(text.starts_with("row 7 is no row; ") && text.ends_with("no disk"), "{text}");
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn order_survives_batches_and_flight() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().expect("a directory");
        let summary = import(&TestLedger::default(), chain(&dir, 100)).await.expect("imported");
        assert_eq!((summary.transfers.rows, summary.transfers.posted), (100, 100));
        assert_eq!(summary.accounts.openings.posted, 1);
        assert_eq!(summary.balances[0].sum, "10.00");
        assert_eq!(summary.balances_sha256, Some(balances::sha256("1,1000\n2,0\n3,0\n4,0")));
    });
}

#[test]
fn a_full_engine_is_waited_for_and_batches_go_again_in_order() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = TestLedger::default();
        // From the third batch on everything in flight is refused, as a full engine does.
        ledger.0.lock().expect("lock").faults =
            Faults { full_batches: (3..=12).collect(), ..Faults::default() };
        let summary = import(&ledger, chain(&dir, 100)).await.expect("imported");
        assert_eq!(summary.transfers.posted, 100);
        assert_eq!(summary.batches_out_of_order, 0);
        let order = ledger.0.lock().expect("lock").order.clone();
        let expected: Vec<u128> =
            (1..=100).map(|row| derived(Purpose::Row, "t", &row.to_string())).collect();
        assert_eq!(order[1..], expected[..], "after the opening balance");
    });
}

#[test]
fn an_interrupted_import_is_run_again_and_doubles_nothing() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = TestLedger::default();
        ledger.0.lock().expect("lock").faults =
            Faults { break_at_batch: Some(9), ..Faults::default() };
        let failure = import(&ledger, chain(&dir, 100)).await.expect_err("interrupted");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("Run the same command again"), "{failure}");
        ledger.streams_closed().await;
        ledger.0.lock().expect("lock").faults = Faults::default();
        let summary = import(&ledger, chain(&dir, 100)).await.expect("imported");
        let t = &summary.transfers;
        assert_eq!((t.rows, t.posted + t.repeats_posted, t.refused), (100, 100, 0));
        assert!(t.repeats >= 24, "batches 1 to 9 were decided before: {t:?}");
        assert_eq!((summary.accounts.existed, summary.accounts.openings.repeats), (4, 1));
        assert_eq!(summary.balances_sha256, Some(balances::sha256("1,1000\n2,0\n3,0\n4,0")));
    });
}

#[test]
fn a_full_memory_for_ids_ends_the_import_at_once() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = TestLedger::default();
        ledger.0.lock().expect("lock").faults =
            Faults { ids_full_from: Some(4), ..Faults::default() };
        let started = Instant::now();
        let failure = import(&ledger, chain(&dir, 100)).await.expect_err("stopped");
        assert!(started.elapsed() < Duration::from_secs(20), "nothing was waited for");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("after 9 answered rows"), "{failure}");
        assert!(failure.message.contains("--remembered-ids-max"), "{failure}");
        ledger.streams_closed().await;
        ledger.0.lock().expect("lock").faults = Faults::default();
        let summary = import(&ledger, chain(&dir, 100)).await.expect("imported");
        assert_eq!((summary.transfers.posted, summary.transfers.repeats_posted), (91, 9));
    });
}

#[test]
fn refused_rows_go_to_their_file_with_their_columns() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().expect("a directory");
        let rows = "from,to,sum\n1,2,4.00\n1,2,99\n1,1,1\n1,2,0.001\n1,2\n9,1,1\n1,2,0\n2,1,4.00\n";
        let mut args = chain(&dir, 0);
        args.transfers = Some(file(&dir, "t.csv", rows));
        args.rejects = Some(dir.path().join("rejects.csv"));
        let ledger = TestLedger::default();
        let mut again = chain(&dir, 0);
        again.transfers = args.transfers.clone();
        let summary = import(&ledger, args).await.expect("imported");
        let t = &summary.transfers;
        assert_eq!((t.rows, t.posted, t.refused, t.unconvertible), (8, 2, 4, 2));
        assert!(!summary.all_posted());
        // Refusals that come back as repeats keep their reasons.
        let repeats = import(&ledger, again).await.expect("imported").transfers;
        assert!(repeats.refused_by_code.is_empty());
        assert_eq!((repeats.repeats_refused, repeats.refused), (4, 0));
        assert_eq!(repeats.repeats_refused_by_code, t.refused_by_code);
        let text = std::fs::read_to_string(dir.path().join("rejects.csv")).expect("there");
        assert_eq!(
            text,
            "file,row,code,explanation,from,to,sum\n\
             transfers,2,INSUFFICIENT_FUNDS,no,1,2,99\n\
             transfers,3,SAME_ACCOUNT,no,1,1,1\n\
             transfers,4,AMOUNT_TOO_MANY_DECIMALS,`0.001` has more decimals than the 2 of GBP,\
             1,2,0.001\n\
             transfers,5,COLUMN_MISSING,the row has 2 columns and needs at least 3,1,2\n\
             transfers,6,DEBIT_ACCOUNT_UNKNOWN,no,9,1,1\n\
             transfers,7,AMOUNT_ZERO,no,1,2,0\n"
        );
    });
}

#[test]
fn an_account_with_other_content_stops_the_import() {
    on_a_runtime(async {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = TestLedger::default();
        import(&ledger, chain(&dir, 1)).await.expect("imported");
        let mut args = chain(&dir, 1);
        args.settings = vec![mapping::setting("accounts.overdraft_limit=5.00").expect("one")];
        let failure = import(&ledger, args).await.expect_err("refused");
        assert_eq!(failure.exit, Exit::Refused);
    });
}

/// A mapping of this project and a data set, or a printed reason for skipping.
fn data(map: &str, accounts: Option<&str>, transfers: &str) -> Option<ImportArgs> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = match std::env::var_os("DUCAT_DATA") {
        Some(root) => PathBuf::from(root),
        None => project.join("../shared/data"),
    };
    let transfers = root.join(transfers);
    if !transfers.exists() {
        // Past the harness, which swallows what passing tests print.
        let _ = writeln!(std::io::stderr(), "skipped: no {} (set DUCAT_DATA)", transfers.display());
        return None;
    }
    Some(ImportArgs {
        map: Some(project.join("api/mappings").join(map)),
        accounts: accounts.map(|a| root.join(a)),
        transfers: Some(transfers),
        batch_size: 1000,
        in_flight: 16,
        ..ImportArgs::default()
    })
}

#[test]
fn amlsim_gives_the_known_answer() {
    let nodes = "amlsim/20K_cycle200.nodes.csv.gz";
    let transactions = "amlsim/20K_cycle200.transactions.csv.gz";
    let Some(args) = data("amlsim.toml", Some(nodes), transactions) else { return };
    on_a_runtime(async {
        let summary = import(&TestLedger::default(), args).await.expect("imported");
        let t = &summary.transfers;
        assert_eq!((t.rows, t.posted, t.refused), (117_805, 44_932, 72_873));
        assert_eq!(summary.balances[0].sum, "5600953.52");
        let sha = summary.balances_sha256.expect("there");
        assert!(sha.starts_with("dfeb7e478aa15f2d"), "{sha}");
    });
}

#[test]
fn berka_is_booked_without_a_refusal() {
    let Some(args) = data("berka.toml", None, "berka/trans.asc.gz") else { return };
    on_a_runtime(async {
        let summary = import(&TestLedger::default(), args).await.expect("imported");
        assert!(summary.all_posted());
        assert_eq!((summary.transfers.posted, summary.accounts.opened), (49_102, 1229));
        assert_eq!(summary.balances[0].sum, "39246142.80");
    });
}

#[test]
fn uk_payments_conserve_the_sum() {
    let Some(args) = data("uk-payments.toml", None, "payments/uk_public_payments.csv.gz") else {
        return;
    };
    on_a_runtime(async {
        let summary = import(&TestLedger::default(), args).await.expect("imported");
        assert!(summary.all_posted());
        assert_eq!((summary.transfers.posted, summary.accounts.opened), (877_668, 24_724));
        assert_eq!(summary.balances[0].sum, "0.00");
    });
}
