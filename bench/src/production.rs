//! A server of our own as production has it: mutual TLS, a bearer token with every call, the audit
//! trail, figures. What it needs is made by the binary under test, as an operator would.

use crate::address::Address;
use anyhow::{Context, ensure};
use clap::ValueEnum;
use ducat_api::client::Credentials;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is asked of the settings of our own server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Plain text on loopback; everybody may do everything.
    #[default]
    Development,
    /// TLS 1.3 with client certificates, a token with every call, the audit trail, figures, data
    /// encrypted at rest.
    Production,
}

/// Who the harness is.
const NAME: &str = "spiffe://bench/harness";

/// Who issues its token.
const ISSUER: &str = "https://bench.example";

/// The files of a server in production, and of its one client.
#[derive(Clone, Debug)]
pub struct Production {
    directory: PathBuf,
}

impl Production {
    /// Makes certificates, a key, a token and the configuration in a new directory.
    pub fn prepare(binary: &Path, directory: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&directory).context("make a place for keys")?;
        let made = Self { directory };
        let path = |name: &str| made.path(name).display().to_string();
        let certs = path("certs");
        run(binary, &["certs", "dev", "--dir", &certs, "--client", NAME])?;
        let public = run(binary, &["key", "generate", "--key", &path("tokens.key")])?;
        fs::write(made.path("tokens.pub"), public).context("keep the public key")?;
        let key = path("tokens.key");
        let mut issue = vec!["token", "issue", "--key", &key, "--issuer", ISSUER, "--subject"];
        issue.extend([NAME, "--accounts", "*", "--lifetime-s", "3600"]);
        for role in ROLES {
            issue.extend(["--role", role]);
        }
        fs::write(made.path("token"), run(binary, &issue)?).context("keep the token")?;
        fs::write(made.configuration(), made.settings()).context("write the configuration")?;
        Ok(made)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.path("ducat.toml")
    }

    fn settings(&self) -> String {
        let path = |name: &str| format!("{:?}", self.path(name).display().to_string());
        let roles: Vec<_> = ROLES.iter().map(|role| format!("{role:?}")).collect();
        format!(
            "[server]\nprofile = \"production\"\n\
             [tls]\ncertificate_file = {}\nkey_file = {}\nclient_ca_file = {}\n\
             [tokens]\nkeys_file = {}\nissuer = {ISSUER:?}\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n\
             [[principals]]\nname = {NAME:?}\nroles = [{}]\naccounts = [\"*\"]\n",
            path("certs/server.pem"),
            path("certs/server.key"),
            path("certs/ca.pem"),
            path("tokens.pub"),
            roles.join(", ")
        )
    }

    /// The server that listens at `address`, and what it is shown.
    pub fn address(&self, address: &str) -> Address {
        let credentials = Credentials {
            ca: Some(self.path("certs/ca.pem")),
            certificate: Some(self.path("certs/harness.pem")),
            key: Some(self.path("certs/harness.key")),
            token: Some(self.path("token")),
        };
        Address { url: format!("https://{address}"), credentials }
    }
}

/// What the harness does: transfers, accounts, status, history.
const ROLES: [&str; 3] = ["gateway", "operator", "auditor"];

/// What the command prints.
fn run(binary: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let done = Command::new(binary).args(arguments).output();
    let done = done.with_context(|| format!("run {}", binary.display()))?;
    ensure!(
        done.status.success(),
        "`ducat {}` ended with {}. It said:\n{}",
        arguments.join(" "),
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(done.stdout)
}
