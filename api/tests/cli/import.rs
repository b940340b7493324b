//! The real data sets imported into a real server, and held against answers worked out
//! elsewhere: a serial run for AMLSim, the bank's own books for Berka, the penny for the
//! public payments. Each skips with a printed reason where its files are absent.

use crate::support::{Server, binary, data, json, mapping, path_text, send_signal};
use ducat_api::proto::ListEntriesRequest;
use ducat_api::proto::ledger_client::LedgerClient;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tonic::transport::Channel;

const SHA: &str = "dfeb7e478aa15f2d";

/// Imports AMLSim and checks the known answer.
fn import_amlsim(server: &Server, nodes: &str, rows: &str, batch: &str) -> Value {
    let map = mapping("amlsim.toml");
    let files = ["import", "--map", &map, "--accounts", nodes, "--transfers", rows];
    let summary = server.json(&[&files[..], &["--batch-size", batch]].concat()).remove(0);
    let transfers = &summary["transfers"];
    let number = |name: &str| transfers[name].as_u64().expect("a number");
    assert_eq!(number("rows"), 117_805);
    assert_eq!(number("posted") + number("repeats_posted"), 44_932);
    assert_eq!(number("refused") + number("repeats_refused"), 72_873);
    assert_eq!(summary["balances"][0]["sum"], "5600953.52");
    let sha = summary["balances_sha256"].as_str().expect("a text");
    assert!(sha.starts_with(SHA), "{sha}");
    summary
}

/// Imports AMLSim into a fresh server, kills it, replays its directory, restarts it and imports
/// again: the same answer four times.
fn amlsim_holds(batch: &str, partitions: u32) {
    let Some(nodes) = data("amlsim/20K_cycle200.nodes.csv.gz") else { return };
    let Some(rows) = data("amlsim/20K_cycle200.transactions.csv.gz") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), partitions);
    let summary = import_amlsim(&server, &nodes, &rows, batch);
    assert_eq!(summary["transfers"]["repeats"], 0);
    assert_eq!(summary["batches_out_of_order"], 0);
    server.kill();
    let data_dir = path_text(&dir.path().join("ledger"));
    let replayed = &json(&["replay", "--data-dir", &data_dir, "--id-offset", "1"])[0];
    assert_eq!(replayed["balances_sha256"], summary["balances_sha256"]);
    assert_eq!(replayed["state_hash"], summary["state_hash"]);
    // The restarted server knows every id: a second import changes nothing.
    let server = Server::start(dir.path(), partitions);
    let again = import_amlsim(&server, &nodes, &rows, "10000");
    assert_eq!(again["transfers"]["repeats"], 117_805);
    assert_eq!(again["state_hash"], summary["state_hash"]);
}

#[test]
fn amlsim_in_batches_of_1000() {
    amlsim_holds("1000", 1);
}

#[test]
fn amlsim_in_batches_of_7_over_two_partitions() {
    amlsim_holds("7", 2);
}

#[test]
fn amlsim_in_batches_of_10000_over_two_partitions() {
    amlsim_holds("10000", 2);
}

#[test]
#[ignore = "117,805 batches take more than a minute"]
fn amlsim_one_row_at_a_time() {
    amlsim_holds("1", 1);
}

#[test]
fn an_import_cut_off_by_a_kill_is_finished_by_running_it_again() {
    let Some(nodes) = data("amlsim/20K_cycle200.nodes.csv.gz") else { return };
    let Some(rows) = data("amlsim/20K_cycle200.transactions.csv.gz") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    let map = mapping("amlsim.toml");
    let mut import = Command::new(binary());
    import.args(["--server", &server.url, "import", "--map", &map, "--accounts", &nodes]);
    import.args(["--transfers", &rows, "--batch-size", "100"]).stderr(Stdio::piped());
    let import = import.stdout(Stdio::null()).spawn().expect("starts");
    let decided = |server: &Server| {
        let status = &server.json(&["status"])[0];
        status["posted"].as_u64().expect("a number") + status["refused"].as_u64().expect("one")
    };
    // 20,000 of them are opening balances.
    while decided(&server) < 40_000 {
        std::thread::sleep(Duration::from_millis(5));
    }
    server.kill();
    let output = import.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("Run the same command again"), "{said}");
    let server = Server::start(dir.path(), 1);
    let summary = import_amlsim(&server, &nodes, &rows, "1000");
    let repeats = summary["transfers"]["repeats"].as_u64().expect("a number");
    assert!((20_000..117_805).contains(&repeats), "{repeats} rows were decided before the kill");
}

#[test]
fn ctrl_c_says_how_to_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    let (map, rows) = (dir.path().join("map.toml"), dir.path().join("rows.csv"));
    let text = "namespace='t'\ncurrency='GBP'\n[transfers]\ndebit={column='from'}\n\
                credit={column='to'}\namount={column='sum'}\n";
    std::fs::write(&map, text).expect("written");
    // One row at a time takes far longer than the signal; each is refused, and that is enough.
    let text = "from,to,sum\n".to_owned() + &"1,2,1.00\n".repeat(200_000);
    std::fs::write(&rows, text).expect("written");
    let mut import = Command::new(binary());
    import.args(["--server", &server.url, "import", "--batch-size", "1", "--in-flight", "1"]);
    import.arg("--map").arg(&map).arg("--transfers").arg(&rows);
    let import = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    while server.json(&["status"])[0]["refused"].as_u64().expect("a number") < 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    send_signal(&import, libc::SIGINT);
    let output = import.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("run the same command again"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn uk_payments_conserve_the_sum() {
    let Some(rows) = data("payments/uk_public_payments.csv.gz") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    let map = mapping("uk-payments.toml");
    let import = ["import", "--map", &map, "--transfers", &rows, "--strict"];
    let summary = server.json(&import).remove(0);
    assert_eq!(summary["transfers"]["posted"], 877_668);
    assert_eq!(summary["balances"][0]["accounts"], 24_724);
    assert_eq!(summary["balances"][0]["sum"], "0.00");
    println!("{} rows/s", summary["rows_per_second"]);
}

/// One row of Berka, in minor units.
struct Row {
    account: String,
    day: String,
    change: i128,
    balance: i128,
}

fn berka_rows(path: &str) -> Vec<Row> {
    let file = std::fs::File::open(path).expect("opens");
    let plain = flate2::read::MultiGzDecoder::new(file);
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(plain);
    let minor = |text: &str| -> i128 { text.replace('.', "").parse().expect("two decimals") };
    let row = |record: csv::StringRecord| {
        let sign = if &record[3] == "PRIJEM" { 1 } else { -1 };
        Row {
            account: record[1].to_owned(),
            day: record[2].to_owned(),
            change: sign * minor(&record[5]),
            balance: minor(&record[6]),
        }
    };
    reader.records().map(|record| row(record.expect("a row"))).collect()
}

/// An account's balances as its entries tell them, oldest first.
async fn entries(client: &mut LedgerClient<Channel>, account: &str) -> Vec<i128> {
    let id = account.parse().expect("a number");
    let (mut balances, mut cursor) = (Vec::new(), String::new());
    loop {
        let request =
            ListEntriesRequest { id, page_size: 1000, cursor, ..ListEntriesRequest::default() };
        let page = client.list_entries(request).await.expect("entries").into_inner();
        let minor = |text: &str| text.replace('.', "").parse::<i128>().expect("two decimals");
        balances.extend(page.entries.iter().map(|entry| minor(&entry.balance_after)));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            balances.reverse();
            return balances;
        }
    }
}

/// The entries of every account.
fn all_entries(server: &Server, accounts: &[&str]) -> Vec<Vec<i128>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut client = LedgerClient::connect(server.url.clone()).await.expect("connects");
        let mut all = Vec::with_capacity(accounts.len());
        for account in accounts {
            all.push(entries(&mut client, account).await);
        }
        all
    })
}

/// The bank wrote its balance beside each row, in no order within a day, and its balances
/// drift from the sum of its own amounts by hidden roundings. So a day agrees when one of its
/// balances is the bank's balance of the day before plus what the engine booked that day,
/// within 0.10. Where none is, the day's last balance is carried on.
#[test]
fn berka_agrees_with_the_books_of_the_bank() {
    let Some(path) = data("berka/trans.asc.gz") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    let map = mapping("berka.toml");
    let import = ["import", "--map", &map, "--transfers", &path, "--strict", "--balances-out"];
    let out = path_text(&dir.path().join("balances.csv"));
    let summary = server.json(&[&import[..], &[&out]].concat()).remove(0);
    assert_eq!(summary["transfers"]["posted"], 49_102);

    let rows = berka_rows(&path);
    let mut of_account: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in &rows {
        of_account.entry(&row.account).or_default().push(row);
    }
    check_sums(Path::new(&out), &of_account);
    let (mut days, mut agree) = (0, 0);
    let accounts: Vec<&str> = of_account.keys().copied().collect();
    for (account, booked) in accounts.iter().zip(all_entries(&server, &accounts)) {
        let rows = &of_account[account];
        // Row order: the n-th row of an account in the file is its n-th entry.
        assert_eq!(booked.len(), rows.len(), "account {account}");
        let (mut bank_before, mut engine_before, mut from) = (0, 0, 0);
        for day in rows.chunk_by(|a, b| a.day == b.day) {
            let engine_after = booked[from + day.len() - 1];
            let expected = bank_before + engine_after - engine_before;
            let agreeing = day.iter().find(|row| (row.balance - expected).abs() <= 10);
            days += 1;
            agree += usize::from(agreeing.is_some());
            bank_before = agreeing.unwrap_or(&day[day.len() - 1]).balance;
            engine_before = engine_after;
            from += day.len();
        }
    }
    assert_eq!((agree, days), (39_928, 39_960));
}

/// Every account's balance is the sum of its rows.
fn check_sums(out: &Path, of_account: &HashMap<&str, Vec<&Row>>) {
    let text = std::fs::read_to_string(out).expect("written");
    assert_eq!(text.lines().count(), of_account.len());
    for line in text.lines() {
        let (account, balance) = line.split_once(',').expect("two columns");
        let sum: i128 = of_account[account].iter().map(|row| row.change).sum();
        assert_eq!(balance.parse(), Ok(sum), "account {account}");
    }
}
