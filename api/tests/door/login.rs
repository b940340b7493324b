//! Logging in with a password and a second factor, as operators and those who guess find it.

use crate::program::{Server as ProgramServer, ducat, place, stdout, text};
use crate::world::{Secrets, Server, account, now_s, rights};
use ducat_api::audit::{Auditor, Options};
use ducat_api::client::Client;
use ducat_api::identity::factor::secrets::Secret;
use ducat_api::identity::factor::{Rules as FactorRules, STEP_S, Secrets as Factors};
use ducat_api::identity::guard::Trust;
use ducat_api::identity::issue::public_key;
use ducat_api::identity::keys::{TokenKeys, algorithm};
use ducat_api::identity::login::{FAILED_MAX, ISSUER, Rules, TOKEN_LIFETIME};
use ducat_api::identity::passwords::Passwords;
use ducat_api::identity::tokens::TokenRules;
use ducat_api::proto::login_client::LoginClient;
use ducat_api::proto::{
    AccountStatus, LogInRequest, LogInResponse, LogOutRequest, NewAccount, RefreshRequest,
};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub const PASSWORD: &str = "otter lantern quarry velvet";

const GRANTED: &str = "[[principals]]\nname = \"anna\"\nroles = [\"operator\"]\naccounts = [\"*\"]\n\
                       [[principals]]\nname = \"bert\"\nroles = [\"operator\"]\naccounts = [\"*\"]\n\
                       [[principals]]\nname = \"dora\"\nroles = [\"admin\"]\naccounts = [\"*\"]\n";

/// A server where people log in. Carl has a password and a code, and nothing is granted to him.
pub struct Bank {
    pub server: Server,
    pub secrets: Secrets,
    codes: Vec<(&'static str, Secret)>,
}

impl Bank {
    pub async fn new() -> Self {
        let secrets = Secrets::new();
        let codes: Vec<(&'static str, Secret)> = ["anna", "bert", "carl", "dora"]
            .map(|name| (name, Secret::random().expect("randomness")))
            .into();
        let path = secrets.path("passwords.toml");
        for name in ["anna", "bert", "carl", "dora"] {
            Passwords::set(&path, name, PASSWORD).expect("written");
        }
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("random");
        let key = key.serialize_pem();
        let tokens = TokenRules {
            keys: TokenKeys::parse(&public_key(&key).expect("a key")).expect("well-formed"),
            algorithms: vec![algorithm("EdDSA").expect("known")],
            issuer: ISSUER.to_owned(),
            audience: "ducat".to_owned(),
            lifetime_max: TOKEN_LIFETIME,
        };
        let factor = FactorRules {
            secrets: Factors::of(codes.iter().cloned()),
            session: Duration::from_secs(900),
            two_persons: None,
        };
        let passwords = Passwords::read(&path).expect("sound");
        let trust = Trust {
            rights: rights(GRANTED),
            // Tokens from outside are taken beside those of logins.
            tokens: Some(secrets.token_rules()),
            factor: Some(factor),
            login: Some(Rules { passwords, key, tokens }),
        };
        let server = Server::audited(None, trust, &Auditor::new(Options::default())).await;
        Self { server, secrets, codes }
    }

    pub fn code(&self, name: &str, steps: i64) -> String {
        let (_, secret) = self.codes.iter().find(|(known, _)| *known == name).expect("enrolled");
        secret.code(now_s().saturating_add_signed(steps * STEP_S.cast_signed()))
    }

    async fn door(&self) -> LoginClient<ducat_api::client::Connection> {
        LoginClient::new(self.server.client(&self.secrets, None, None).await.connection())
    }

    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        code: &str,
    ) -> Result<LogInResponse, Status> {
        let (name, password, code) = (name.into(), password.into(), code.into());
        let request = LogInRequest { name, password, code };
        self.door().await.log_in(request).await.map(tonic::Response::into_inner)
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<LogInResponse, Status> {
        let request = RefreshRequest { refresh_token: refresh_token.to_owned() };
        self.door().await.refresh(request).await.map(tonic::Response::into_inner)
    }

    /// A client with what was given.
    pub async fn client(&self, given: &LogInResponse) -> Client {
        let file = self.secrets.write("given.token", &given.token);
        self.server.client(&self.secrets, None, Some(&file)).await
    }
}

pub fn reason(result: Result<LogInResponse, Status>) -> String {
    match result {
        Ok(_) => "given".to_owned(),
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            status.get_details_error_info().expect("a reason").reason
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_logs_in_may_what_their_name_may_with_a_second_factor() {
    let bank = Bank::new().await;
    let given = bank.log_in("anna", PASSWORD, &bank.code("anna", 0)).await.expect("given");
    let ends_s = given.expires_ns / 1_000_000_000;
    assert!(ends_s <= now_s() + TOKEN_LIFETIME.as_secs(), "15 minutes");
    let anna = bank.client(&given).await;
    anna.create_accounts(vec![NewAccount::new(account(2), "GBP", false)]).await.expect("granted");
    anna.set_account_status(account(2), AccountStatus::Frozen).await.expect("with its factor");
    let denied = anna.verify_balances().await.expect_err("not an operator's");
    assert_eq!(denied.reason(), Some("ROLE_MISSING"));
    // Others' tokens are taken as before.
    let token = bank.secrets.token("ann", &["auditor"], &["*"], &[]);
    let auditor = bank.server.client(&bank.secrets, None, Some(&token)).await;
    auditor.get_accounts(&[account(2)]).await.expect("granted");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_told_in_the_same_words_and_a_code_is_used_up() {
    let bank = Bank::new().await;
    let code = bank.code("anna", 0);
    let mut said = Vec::new();
    for (name, password, code) in [
        ("anna", "otter lantern quarry velveT", code.as_str()),
        ("anna", PASSWORD, "000000"),
        ("nobody", PASSWORD, code.as_str()),
        ("", PASSWORD, code.as_str()),
        ("carl", PASSWORD, bank.code("carl", 0).as_str()),
        ("bert", &"x".repeat(300), code.as_str()),
    ] {
        let status = bank.log_in(name, password, code).await.expect_err(name);
        let reason = status.get_details_error_info().expect("a reason").reason;
        said.push((status.code(), reason, status.message().to_owned()));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    // Without any code nothing is looked at: the same of every name, and no try.
    for name in ["anna", "nobody", "anna", "anna", "anna", "anna"] {
        assert_eq!(reason(bank.log_in(name, PASSWORD, "").await), "SECOND_FACTOR_NEEDED", "{name}");
    }
    assert_eq!((said[0].0, said[0].1.as_str()), (Code::Unauthenticated, "LOGIN_REFUSED"));
    assert_eq!(reason(bank.log_in("anna", PASSWORD, &code).await), "given");
    assert_eq!(reason(bank.log_in("anna", PASSWORD, &code).await), "LOGIN_REFUSED", "a replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_locks_a_name_whether_it_is_known_or_not_and_also_at_once() {
    let bank = Bank::new().await;
    for name in ["anna", "nobody"] {
        // All at once: what is being looked at counts as well.
        let mut tries = JoinSet::new();
        for n in 0..FAILED_MAX + 3 {
            let (mut door, name) = (bank.door().await, name.to_owned());
            let (password, code) = (format!("otter lantern quarry {n}"), "000000".to_owned());
            tries.spawn(async move {
                let request = LogInRequest { name, password, code };
                reason(door.log_in(request).await.map(tonic::Response::into_inner))
            });
        }
        let found = tries.join_all().await;
        let count = |reason: &str| found.iter().filter(|found| *found == reason).count();
        let counts = (count("LOGIN_REFUSED"), count("LOGIN_LOCKED"));
        assert_eq!(counts, (FAILED_MAX, 3), "{name}: {found:?}");
    }
    let right = bank.log_in("anna", PASSWORD, &bank.code("anna", 0)).await;
    assert_eq!(reason(right), "LOGIN_LOCKED", "although right");
    assert_eq!(reason(bank.log_in("bert", PASSWORD, &bank.code("bert", 0)).await), "given");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_comes_twice_ends_the_login() {
    let bank = Bank::new().await;
    let first = bank.log_in("anna", PASSWORD, &bank.code("anna", 0)).await.expect("given");
    let second = bank.refresh(&first.refresh_token).await.expect("the next");
    assert_ne!(second.refresh_token, first.refresh_token);
    bank.client(&second).await.get_accounts(&[account(2)]).await.expect("granted");
    assert_eq!(reason(bank.refresh(&first.refresh_token).await), "REFRESH_REFUSED", "used");
    assert_eq!(reason(bank.refresh(&second.refresh_token).await), "REFRESH_REFUSED", "revoked");
    // And a login that was ended by whoever began it.
    let other = bank.log_in("bert", PASSWORD, &bank.code("bert", 0)).await.expect("given");
    let refresh_token = other.refresh_token.clone();
    bank.door().await.log_out(LogOutRequest { refresh_token }).await.expect("ended");
    assert_eq!(reason(bank.refresh(&other.refresh_token).await), "REFRESH_REFUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_goes_by_the_configuration_of_the_moment() {
    let bank = Bank::new().await;
    let given = bank.log_in("anna", PASSWORD, &bank.code("anna", 0)).await.expect("given");
    let anna = bank.client(&given).await;
    anna.get_accounts(&[account(2)]).await.expect("granted");
    let trust = Trust { tokens: Some(bank.secrets.token_rules()), ..Trust::default() };
    bank.server.guard.as_ref().expect("guarded").replace(trust);
    let refused = anna.get_accounts(&[account(2)]).await.expect_err("nobody logs in any more");
    assert_eq!(refused.reason(), Some("UNAUTHENTICATED"));
    let refused = bank.refresh(&given.refresh_token).await.expect_err("nor on");
    assert_eq!(refused.code(), Code::Unauthenticated);
}

/// The program with a line on its stdin.
fn with_line(args: &[&str], line: &str) -> Output {
    let binary = std::env::var_os("DUCAT_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_ducat").into(), std::path::PathBuf::from);
    let mut command = std::process::Command::new(binary);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    writeln!(child.stdin.take().expect("piped"), "{line}").expect("read");
    child.wait_with_output().expect("it ends")
}

fn key(path: &Path) {
    stdout(&ducat(&["key", "generate", "--key", text(path)]));
}

#[test]
fn the_program_takes_a_password_and_logs_in_and_on_and_out() {
    let dir = place();
    let path = |name: &str| dir.path().join(name);
    let (factors, passwords) = (path("factors.toml"), path("passwords.toml"));
    key(&path("login.key"));
    let uri = stdout(&ducat(&["operator", "enrol", "anna", "--secrets-file", text(&factors)]));
    let set = ["operator", "password", "anna", "--passwords-file", text(&passwords)];
    let weak = with_line(&set, "password1234");
    assert_eq!(weak.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&weak.stderr).contains("guessed"), "{weak:?}");
    assert!(!passwords.exists());
    stdout(&with_line(&set, PASSWORD));
    let config = format!(
        "[second_factor]\nsecrets_file = \"{}\"\n[login]\npasswords_file = \"{}\"\n\
         signing_key_file = \"{}\"\n",
        text(&factors),
        text(&passwords),
        text(&path("login.key"))
    );
    let file = path("ducat.toml");
    fs::write(&file, &config).expect("writes");
    let refused = ducat(&["config", "check", "--config", text(&file)]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("[[principals]]"), "{refused:?}");
    fs::write(&file, config + GRANTED).expect("writes");
    let server = ProgramServer::start(dir.path(), &["--config", text(&file)]);
    let url = format!("http://{}", server.address);
    let token = path("anna.token");
    let secret = uri.split("secret=").nth(1).and_then(|rest| rest.split('&').next());
    let code = Secret::parse(secret.expect("a secret")).expect("base 32").code(now_s());
    let log_in = ["--server", &url, "--totp", &code, "login", "anna", "--out", text(&token)];
    let wrong = with_line(&log_in, "otter lantern quarry velveT");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(!token.exists());
    // Files that are there and that others can read are not written into, but replaced.
    let refresh = path("anna.token.refresh");
    let open = |file: &Path| {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("its owner may");
    };
    for file in [&token, &refresh] {
        fs::write(file, "old").expect("writes");
        open(file);
    }
    stdout(&with_line(&log_in, PASSWORD));
    for file in [&token, &refresh] {
        let mode = fs::metadata(file).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let with = ["--server", &url, "--token-file", text(&token)];
    stdout(&ducat(&[&with[..], &["account", "create", "7", "--currency", "GBP"]].concat()));
    stdout(&ducat(&[&with[..], &["account", "freeze", "7"]].concat()));
    let before = fs::read_to_string(&token).expect("there");
    // What others can read they may have used: it is not gone on with.
    let next = ["--server", &url, "login", "--refresh", "--out", text(&token)];
    open(&refresh);
    let refused = ducat(&next);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("can read"), "{refused:?}");
    assert_eq!(fs::read_to_string(&token).expect("there"), before);
    fs::set_permissions(&refresh, fs::Permissions::from_mode(0o600)).expect("its owner may");
    stdout(&ducat(&next));
    assert_ne!(fs::read_to_string(&token).expect("there"), before);
    stdout(&ducat(&[&with[..], &["status"]].concat()));
    stdout(&ducat(&["--server", &url, "logout", "--out", text(&token)]));
    assert!(!token.exists());
    let far = ducat(&["--server", "http://10.255.0.1:1", "login", "anna", "--out", text(&token)]);
    assert_eq!(far.status.code(), Some(2), "no password in plain text: {far:?}");
}
